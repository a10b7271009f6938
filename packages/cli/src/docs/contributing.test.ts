/**
 * Goal: every page leads to what there is: paths, links, headings, scripts; CONTRIBUTING.md to commands, log events and metrics
 * too, and each package has its paragraph there and a README.
 * Method: the pages are read and compared with the tree, with package.json, with the program's own parser and with the pages
 * that other tests hold to the code. Nothing is run.
 */
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { codeBlocksOf, shoalCommandsIn } from '../testing/page-examples.ts'
import { understood } from '../testing/understood-command.ts'

const REPOSITORY = fileURLToPath(new URL('../../../..', import.meta.url))
const read = (path: string) => readFileSync(join(REPOSITORY, path), 'utf8')
const packages = readdirSync(join(REPOSITORY, 'packages'))
const contributing = read('CONTRIBUTING.md')
const { scripts } = JSON.parse(read('package.json'))
const PAGES = globSync(
  ['*.md', 'docs/**/*.md', 'test/*/README.md', 'findings/*.md', 'packages/*/README.md'],
  {
    cwd: REPOSITORY,
  },
)

describe.each(PAGES)('%s', (path) => {
  const page = read(path)

  test('names paths that there are', () => {
    const named = [...page.matchAll(/`((?:packages|test|docs|deploy|findings|src|\.ci|\.github)\/[^`\s]*)`/g)]
    for (const [, name] of named) {
      const from = name!.startsWith('src/') ? dirname(path) : '.'
      expect(existsSync(join(REPOSITORY, from, name!)), name).toBe(true)
    }
  })

  test('has links that lead somewhere, to the heading too', () => {
    for (const [, link, anchor] of page.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)/g)) {
      const target = link === '' ? path : join(dirname(path), link!)
      expect(existsSync(join(REPOSITORY, target)), link).toBe(true)
      if (anchor !== undefined) expect(anchorsOf(read(target)), `${target}#${anchor}`).toContain(anchor)
    }
  })

  test('names scripts that there are', () => {
    for (const [, name] of page.matchAll(/\bnpm run ([a-z][a-z:]*)/g)) expect(scripts).toHaveProperty([name!])
  })
})

describe('the commands of CONTRIBUTING.md', () => {
  const lines = codeBlocksOf(contributing)
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text }) => text.trim().split('\n'))
  const shoalLines = [
    ...lines.flatMap((line) => line.match(/^npx (shoal .*)/)?.[1] ?? []),
    ...lines
      .flatMap((line) => line.match(/^npm run demo -- (.*)/)?.[1] ?? [])
      .map((rest) => `shoal demo ${rest}`),
    ...lines
      .flatMap((line) => line.match(/^npm run profile -- .*?(agent .*)/)?.[1] ?? [])
      .map((rest) => `shoal ${rest}`),
    ...[...contributing.matchAll(/`npx (shoal [^`]*)`/g)].map(([, line]) => line!),
  ]

  test('are those of shoal, with flags that there are', () => {
    expect(shoalLines.length).toBeGreaterThan(5)
    for (const line of shoalLines)
      for (const words of shoalCommandsIn(line, (name) => `$${name}`)) expect(understood(words)).toBeDefined()
  })

  test('run tests that there are', () => {
    const targets = lines.flatMap((line) => line.match(/^npx vitest run (\S+)/)?.[1] ?? [])
    expect(targets.length).toBeGreaterThan(2)
    for (const target of targets) expect(existsSync(join(REPOSITORY, target)), target).toBe(true)
  })

  test('look for events and metrics that there are', () => {
    const known = read('docs/how-it-works.md')
    const events = lines.flatMap((line) => line.match(/"event":"\(([^)]*)\)"/)?.[1]?.split('|') ?? [])
    const metrics = ['received_bytes_total', 'downloads', 'announce_stream_up', 'seeder_up']
    expect(events.length).toBeGreaterThan(3)
    for (const event of events) expect(known).toContain(`\`${event}\``)
    for (const metric of metrics) {
      expect(contributing).toContain(metric)
      expect(known).toContain(`shoal_agent_${metric}`)
    }
  })
})

describe('the map of the house', () => {
  test('has every package, once, and no other', () => {
    const section = contributing.split('## The map of the house')[1]!.split('\n## ')[0]!
    const named = [...section.matchAll(/^\*\*`packages\/([a-z-]+)`\*\*/gm)].map(([, name]) => name)
    expect(named.toSorted()).toEqual(packages.toSorted())
  })

  test.each(packages)('%s has a README of some ten lines under its own name', (name) => {
    const page = read(`packages/${name}/README.md`)
    expect(page.split('\n', 1)).toEqual(
      [JSON.parse(read(`packages/${name}/package.json`)).name].map((own) => `# ${own}`),
    )
    expect(page.split('\n').length).toBeLessThanOrEqual(30)
    for (const part of [/\bIn\b/, /\bOut\b/, /\bnever\b/i]) expect(page).toMatch(part)
  })
})

function anchorsOf(page: string): string[] {
  return [...page.matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
    text!
      .toLowerCase()
      .replace(/[^a-z0-9 -]/g, '')
      .replaceAll(' ', '-'),
  )
}
