/**
 * Goal: a registry that proves itself is answered at once and its pushes are written down; nobody else gets anything
 * written, and what is sent wrongly is said to be the sender's mistake.
 * Method: the route on a real socket, with a queue that remembers; the formats themselves have tests of their own.
 */
import { createHmac } from 'node:crypto'
import { sha256 } from '@shoal/testing/content'
import { type AddOutcome, type PushEvent, TriggerQueueFullError } from '@shoal/triggers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type ControlServer,
  postBare,
  type SecretFolder,
  secretsOf,
  startControlServer,
} from '../testing/control-server.ts'
import { silent } from '../testing/image-origin.ts'
import { EVENTS_PATH, eventsApi } from './events-api.ts'
import { SecretFile } from './secret-file.ts'

const SECRET = 'secret-of-this-test'
const BODY_BYTES_MAX = 1024 * 1024
const bearer = { authorization: `Bearer ${SECRET}` }
const digest = sha256('an image')

const distribution = (...tags: string[]) => ({
  events: tags.map((tag) => ({
    id: `event-${tag}`,
    timestamp: '2026-05-04T10:00:00Z',
    action: 'push',
    target: {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest,
      repository: 'team/app',
      url: `http://inside.test:5000/v2/team/app/manifests/${digest}`,
      tag,
    },
  })),
})
const hub = { push_data: { tag: '1' }, repository: { repo_name: 'team/app' }, callback_url: '' }

let secrets: SecretFolder
let server: ControlServer
let added: PushEvent[]
let counted: string[]
let add: (events: readonly PushEvent[]) => Promise<AddOutcome>

beforeEach(async () => {
  added = []
  counted = []
  add = async (events) => {
    added.push(...events)
    return { added: events.length, known: 0, outdated: 0 } as AddOutcome
  }
  secrets = await secretsOf(`${SECRET}\nthe-next-secret\n`)
  server = await serve(secrets.path)
})
afterEach(async () => {
  await server[Symbol.asyncDispose]()
  await secrets[Symbol.asyncDispose]()
})

function serve(secretsFile: string): Promise<ControlServer> {
  return startControlServer((http) =>
    eventsApi(http, {
      queue: { add: (events) => add(events) },
      secrets: new SecretFile(secretsFile),
      log: silent,
      nowMs: () => Date.UTC(2026, 4, 4),
      onEvents: (format, outcome, count) => counted.push(`${format} ${outcome} ${count}`),
    }),
  )
}

const tell = (body: unknown, headers: Record<string, string> = bearer, query = '') =>
  fetch(`${server.url}${EVENTS_PATH}${query}`, {
    method: 'POST',
    headers,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
const codeOf = async (answer: Response) => ((await answer.json()) as { code: string }).code

describe('a delivery', () => {
  it('is written down before it is answered, and counted', async () => {
    const answer = await tell(distribution('1', '2'))
    expect(answer.status).toBe(202)
    expect(await answer.json()).toMatchObject({ added: 2, known: 0 })
    expect(added.map(({ repository, tag }) => `${repository}:${tag}`)).toEqual(['team/app:1', 'team/app:2'])
    expect(counted).toEqual(['distribution added 2', 'distribution known 0', 'distribution outdated 0'])
  })

  it('speaks of the registry that the address names, where it names one', async () => {
    await tell(distribution('1'))
    await tell(distribution('2'), bearer, '?registry=registry.test:5000')
    expect(added.map(({ registryHost }) => registryHost)).toEqual(['inside.test:5000', 'registry.test:5000'])
  })

  it('without a push in it is taken as well: registries tell of pulls too', async () => {
    const answer = await tell({ events: [] })
    expect(answer.status).toBe(202)
    expect(added).toEqual([])
  })

  it.each([
    ['application/json'],
    ['application/vnd.docker.distribution.events.v2+json'],
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    [undefined],
  ])('is JSON whatever it is called: %s', async (contentType) => {
    const headers = { ...bearer, ...(contentType !== undefined && { 'content-type': contentType }) }
    const body = JSON.stringify(distribution('1'))
    expect((await postBare(`${server.url}${EVENTS_PATH}`, body, headers)).status).toBe(202)
    expect(added).toHaveLength(1)
  })
})

describe('a sender', () => {
  it.each([
    ['shows nothing', {}, ''],
    ['shows another secret', { authorization: 'Bearer guess' }, ''],
    ['shows it where this format has no place for it', {}, `?secret=${SECRET}`],
  ])('that %s is 403, and nothing is written', async (_what, headers, query) => {
    const answer = await tell(distribution('1'), headers as Record<string, string>, query)
    expect(answer.status).toBe(403)
    const text = await answer.text()
    expect(JSON.parse(text).code).toBe('TRIGGER_FORBIDDEN')
    expect(text).not.toContain(SECRET)
    expect(added).toEqual([])
  })

  it('may show the next secret already, and where nothing else can be set, in the address', async () => {
    expect((await tell(distribution('1'), { authorization: 'Bearer the-next-secret' })).status).toBe(202)
    expect((await tell(hub, {}, `?secret=${SECRET}`)).status).toBe(202)
  })

  it('that signs is believed for the very bytes that it signed', async () => {
    const body = '{ "action": "ping",  "zen": "ü" }'
    const signature = createHmac('sha256', SECRET).update(body).digest('hex')
    const headers = { 'x-github-event': 'ping', 'x-hub-signature-256': `sha256=${signature}` }
    expect((await tell(body, headers)).status).toBe(202)
    expect((await tell(body.replace('  ', ' '), headers)).status).toBe(403)
  })

  it('is nobody while no secret is set', async () => {
    await server[Symbol.asyncDispose]()
    server = await serve('')
    const answer = await tell(distribution('1'))
    expect(answer.status).toBe(403)
    expect(await codeOf(answer)).toBe('TRIGGER_SECRET_UNSET')
  })

  it('is not told where the secrets are when they cannot be read', async () => {
    await secrets[Symbol.asyncDispose]()
    const answer = await tell(distribution('1'))
    expect(answer.status).toBe(500)
    expect(await answer.text()).not.toContain(secrets.path)
  })
})

describe('what is wrong with a delivery', () => {
  it.each([
    ['nothing', '', ''],
    ['no JSON', 'not json', ''],
    ['no bytes of UTF-8', '\uFFFF', ''],
    ['JSON of nobody', '{"a":1}', ''],
    ['null', 'null', ''],
    ['a list', '[]', ''],
    ['a format that there is not', distribution('1'), '?format=nobody'],
    ['an event that is none', { events: [{ id: 1 }] }, ''],
    ['a registry that is no host', distribution('1'), '?registry=nohost'],
    ['a registry that is a path', distribution('1'), '?registry=a.test/b'],
  ])('%s is 400', async (_what, body, query) => {
    const answer = await tell(body, bearer, query)
    expect(answer.status).toBe(400)
    expect(await codeOf(answer)).toBe('TRIGGER_INVALID')
    expect(added).toEqual([])
  })

  it.each(['format', 'registry', 'secret'])('?%s= that comes twice is 400', async (name) => {
    const answer = await tell(hub, bearer, `?${name}=a.test&${name}=b.test`)
    expect(answer.status).toBe(400)
    expect(await codeOf(answer)).toBe('TRIGGER_INVALID')
  })

  it('too much of it is 413, and as much as may be is taken', async () => {
    const text = JSON.stringify(distribution('1'))
    expect((await tell(text.padEnd(BODY_BYTES_MAX + 1))).status).toBe(413)
    expect((await tell(text.padEnd(BODY_BYTES_MAX))).status).toBe(202)
    const headers = { ...bearer, 'transfer-encoding': 'chunked' }
    const chunked = await postBare(`${server.url}${EVENTS_PATH}`, text.padEnd(BODY_BYTES_MAX + 1), headers)
    expect(chunked.status).toBe(413)
  })

  it('a full queue is 503 and when to come again', async () => {
    add = async () => {
      throw new TriggerQueueFullError(2_000, 2_000)
    }
    const answer = await tell(distribution('1'))
    expect(answer.status).toBe(503)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await codeOf(answer)).toBe('TRIGGER_QUEUE_FULL')
    expect(counted).toEqual([])
  })

  it('other paths and methods are nobody’s', async () => {
    expect((await fetch(`${server.url}${EVENTS_PATH}`, { headers: bearer })).status).toBe(404)
    expect((await fetch(`${server.url}${EVENTS_PATH}/x`, { method: 'POST', headers: bearer })).status).toBe(
      404,
    )
  })
})
