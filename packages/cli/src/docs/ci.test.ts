/**
 * Goal: what docs/ci.md has people paste works, and what it says of senders is what the seeder accepts.
 * Method: YAML and JSON are parsed; every `shoal …` command line goes through the program's own parser, which does nothing
 * then; names, secrets' places and limits are compared with the code.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  ACCEPTED_PROOFS,
  EVENT_QUEUE_DEFAULTS,
  POLLER_DEFAULTS,
  parseTrigger,
  SHOAL_PUSH_TYPE,
  TRIGGER_FORMATS,
} from '@shoal/triggers'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { shoalProgram } from '../program.ts'
import { expectAnchorsToLead } from '../testing/page-anchors.ts'
import { codeBlocksOf, shellTextsOf, shoalCommandsIn } from '../testing/page-examples.ts'
import { understood } from '../testing/understood-command.ts'

const page = readFileSync(fileURLToPath(new URL('../../../../docs/ci.md', import.meta.url)), 'utf8')
const blocks = codeBlocksOf(page)
const VARIABLES: Readonly<Record<string, string>> = {
  IMAGE: 'registry.example.com/team/app:1',
  GITHUB_SHA: '0123abcd',
  CI_COMMIT_SHORT_SHA: '0123abcd',
  BUILD_NUMBER: '17',
  SHOAL_API_TOKEN_FILE: '/run/token',
  TOKEN_FILE: '/run/token',
}
const commandLines = blocks.flatMap(shellTextsOf).flatMap((shell) =>
  shoalCommandsIn(shell, (name) => {
    expect(VARIABLES, `$${name} is set somewhere on the page`).toHaveProperty(name)
    return VARIABLES[name]!
  }),
)

describe('the examples', () => {
  test('have the blocks that the page is about', () => {
    const count = (language: string) => blocks.filter((block) => block.language === language).length
    expect(count('yaml')).toBeGreaterThanOrEqual(5)
    expect(count('groovy')).toBeGreaterThanOrEqual(2)
    expect(page.match(/```/g)).toHaveLength(2 * blocks.length)
  })

  test.each(blocks.filter(({ language }) => language === 'yaml'))(
    'in YAML can be read: $text',
    ({ text }) => {
      expect(parse(text)).toBeTypeOf('object')
    },
  )

  test.each(blocks.filter(({ language }) => language === 'json'))(
    'in JSON can be read: $text',
    ({ text }) => {
      expect(JSON.parse(text)).toMatchObject({ published: [{ reference: expect.any(String) }], failed: [] })
    },
  )

  test('are pipelines as GitHub and GitLab expect them', () => {
    const documents = blocks.filter(({ language }) => language === 'yaml').map(({ text }) => parse(text))
    const workflows = documents.filter((document) => 'jobs' in document)
    expect(workflows).toHaveLength(2)
    for (const { jobs } of workflows)
      for (const job of Object.values<{ steps: object[] }>(jobs))
        for (const step of job.steps) expect('run' in step || 'uses' in step).toBe(true)
    const jobs = documents
      .filter((document) => !('jobs' in document || 'notifications' in document || 'kind' in document))
      .flatMap((document) => Object.entries<{ script?: unknown; stage?: string }>(document))
      .filter(([name]) => !['stages', 'variables'].includes(name))
    expect(jobs.map(([name]) => name)).toEqual(['build-image', 'publish', 'build-image'])
    for (const [, job] of jobs) expect(job.script).toBeInstanceOf(Array)
  })

  test('have a Job whose arguments are the command’s', () => {
    const [job] = blocks
      .filter(({ language }) => language === 'yaml')
      .map(({ text }) => parse(text))
      .filter((document) => document.kind === 'Job')
    const [{ args, volumeMounts }] = job.spec.template.spec.containers
    expect(understood(args).name()).toBe('publish')
    expect(args.at(-1)).toBe(`${volumeMounts[0].mountPath}/token`)
  })

  test('call shoal in every kind of pipeline', () => {
    const names = commandLines.map(([name]) => name)
    expect(names.filter((name) => name === 'publish').length).toBeGreaterThanOrEqual(4)
    expect(names.filter((name) => name === 'push').length).toBeGreaterThanOrEqual(4)
  })

  test.each(commandLines.map((words) => [words.join(' '), words] as const))('shoal %s', (_text, words) => {
    expect(understood(words).name()).toBe(words[0])
  })

  test('and the text name only commands that there are', () => {
    const names = shoalProgram().commands.map((command) => command.name())
    const named = [...page.matchAll(/`shoal ([a-z]+)/g)].map(([, name]) => name!)
    expect(named.length).toBeGreaterThan(3)
    expect(names).toEqual(expect.arrayContaining(named))
  })

  test('would be noticed if a flag were misspelt', () => {
    for (const words of [
      ['publish', 'a:1', '--wiat'],
      ['push', 'image.tar', 'team/app:1'],
      ['publihs', 'a'],
    ])
      expect(() => understood(words)).toThrow()
  })
})

describe('what is said of shoal publish', () => {
  test('names each flag of it, and no other', () => {
    const command = shoalProgram().commands.find((one) => one.name() === 'publish')!
    const section = page.slice(page.indexOf('## shoal publish\n'), page.indexOf('## shoal push\n'))
    const rows = section.match(/^\| `.*$/gm)!.join('\n')
    const flags = command.options.map(({ long }) => long!)
    expect(new Set(rows.match(/--[a-z-]+/g))).toEqual(new Set(flags))
  })
})

describe('what is said of webhooks', () => {
  const row = (format: string) =>
    page.split('\n').find((line) => line.startsWith('|') && line.includes(`| \`${format}\` |`))!
  /** How the table puts each proof. */
  const WORDS = {
    authorization: /Authorization|Auth Header|Basic|Secret token/,
    'api-key': /X-API-Key/,
    query: /`secret=`/,
    'jfrog-event-auth': /Secret token/,
    'hub-signature': /the field \*Secret\*/,
  } as const

  test.each(TRIGGER_FORMATS)(
    '%s has a row, a section with its URL, and the secret where it is looked for',
    (format) => {
      expect(page).toContain(`/api/v1/events?format=${format}`)
      const place = row(format).split('|').at(-2)!
      for (const [proof, words] of Object.entries(WORDS)) {
        const isAccepted = ACCEPTED_PROOFS[format].includes(proof as keyof typeof WORDS)
        if (isAccepted) expect(place).toMatch(words)
        else if (proof === 'query' || proof === 'api-key') expect(place).not.toMatch(words)
      }
      const url = new RegExp(`/api/v1/events\\?format=${format}&secret=`)
      expect(url.test(page)).toBe(ACCEPTED_PROOFS[format].includes('query'))
    },
  )

  test('the CloudEvent that it shows is a push', () => {
    const json = /-d '(\{.*\})'/.exec(page)![1]!
    const headers = { 'content-type': 'application/cloudevents+json' }
    expect(JSON.parse(json).type).toBe(SHOAL_PUSH_TYPE)
    expect(parseTrigger('cloudevents', JSON.parse(json), { headers, receivedAtMs: 1 })).toMatchObject([
      { registryHost: 'registry.example.com', repository: 'team/app', tag: '1.4' },
    ])
  })

  test('its numbers are those of the code', () => {
    const { pendingMax, doneForMs, attemptsMax, backoff } = EVENT_QUEUE_DEFAULTS
    expect(page).toContain(`${pendingMax} events wait`)
    expect(page).toContain(`remembered for ${doneForMs / 3_600_000} hours`)
    expect(page).toContain(`after ${backoff.firstMs / 1_000} s, then`)
    expect(page).toContain(`${backoff.maxMs / 60_000} minutes apart at most`)
    expect(page.replace(/\s+/g, ' ')).toContain(`given up after ${attemptsMax} attempts`)
    expect(page).toContain(`every ${POLLER_DEFAULTS.intervalMs / 60_000} minutes`)
    expect(page).toContain(`after ${POLLER_DEFAULTS.backoff.firstMs / 1_000} s at first`)
    expect(POLLER_DEFAULTS.backoff.maxMs).toBe(3_600_000)
    expect(page).toContain(`and ${POLLER_DEFAULTS.tagsMax} of a repository`)
  })

  test('its anchors lead somewhere', () => {
    expectAnchorsToLead(page)
  })
})
