/**
 * Goal: a name is a name and nothing else: no path of the store, no host that nobody allowed, no header, no endless page.
 * Method: a seeder with a stub as its only upstream and an agent, both asked with bytes that no client would send.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type StubRegistry,
  startStubRegistry,
} from '../../packages/registry-client/src/testing/stub-registry.ts'
import { filesBelow } from '../support/folder-files.ts'
import { buildImage } from '../support/images.ts'
import { fileLayer } from '../support/layers.ts'
import {
  type LocalSeeder,
  type LocalService,
  linesWith,
  startLocalAgent,
  startLocalSeeder,
} from '../support/local-services.ts'
import { pushImage, pushManifest } from '../support/push.ts'
import { rawRequest } from '../support/raw-http.ts'

const UPSTREAM = 'registry.test:5000'
const image = buildImage({ layers: [await fileLayer([{ path: 'a', content: 'names' }])] })
const NOBODY = `sha256:${'0'.repeat(64)}`
let upstream: StubRegistry
let seeder: LocalSeeder
let agent: LocalService
let filesBefore: string[]

beforeAll(async () => {
  upstream = await startStubRegistry()
  seeder = await startLocalSeeder({ upstreams: `${UPSTREAM}=${upstream.url}` })
  agent = await startLocalAgent(seeder.url, { forwardPushes: true })
  await pushImage(seeder.url, 'team/app', '1', image)
  for (let n = 0; n < 5; n++) await pushManifest(seeder.url, 'team/app', `t${n}`, image.manifest)
  filesBefore = await filesBelow(seeder.origin)
})
afterAll(async () => {
  await agent?.stop()
  await seeder?.stop()
  await upstream?.[Symbol.asyncDispose]()
})
const faces = () => [seeder.url, agent.url]

const NAMES = [
  '..',
  '../team/app',
  'team/../app',
  'team/..%2fapp',
  'team%2fapp',
  '%2e%2e/team',
  'team%00/app',
  'team/app%00',
  '_uploads',
  'team/_uploads',
  'team/_manifests/x',
  'team//app',
  'team/app/',
  '.team/app',
  'team/app%0d%0aset-cookie:%20a=b',
  'team\\app',
  'Team/App',
  'team/%c3%a9',
  'team/%zz',
  'a'.repeat(256),
  `${'a/'.repeat(2_000)}b`,
]

describe('a repository’s name', () => {
  it.each(labelled(NAMES))('%s is none, whatever is asked of it', async (_label, name) => {
    for (const url of faces()) {
      for (const [method, rest] of [
        ['GET', 'manifests/1'],
        ['GET', `blobs/${NOBODY}`],
        ['GET', 'tags/list'],
        ['GET', `referrers/${NOBODY}`],
        ['POST', 'blobs/uploads/'],
        ['PUT', 'manifests/1'],
        ['DELETE', 'manifests/1'],
        ['DELETE', `blobs/${NOBODY}`],
      ] as const) {
        const answer = await rawRequest(url, method, `/v2/${name}/${rest}`, { 'content-length': '0' })
        expect([400, 404], `${method} ${rest} at ${url}: ${answer.body}`).toContain(answer.status)
        expect(answer.headers).not.toMatch(/^set-cookie/im)
      }
    }
    expect(await filesBelow(seeder.origin)).toEqual(filesBefore)
  })

  it('of 255 characters is one, of 256 is none', async () => {
    const name = `${'a'.repeat(250)}/bcde`
    expect((await rawRequest(seeder.url, 'GET', `/v2/${name}/tags/list`)).body).toContain('NAME_UNKNOWN')
    expect((await rawRequest(seeder.url, 'GET', `/v2/${name}f/tags/list`)).body).toContain('NAME_INVALID')
  })

  it('is refused where an agent asks for a resolution, too', async () => {
    for (const repository of NAMES.map(decoded).filter((name) => name !== 'team/app')) {
      const query = new URLSearchParams({ repository, reference: '1' })
      const answer = await fetch(`${seeder.url}/api/v1/resolve?${query}`)
      expect([400, 404], repository.slice(0, 40)).toContain(answer.status)
    }
  })
})

describe('a reference and a digest', () => {
  it.each([
    '..',
    '..%2f..%2fkeys%2ftag-signing',
    '%00',
    '1%0d%0ax: y',
    'a'.repeat(129),
    '-x',
    'sha256:..%2f..',
    `sha256:${'0'.repeat(63)}`,
    `md5:${'0'.repeat(32)}`,
    `sha256:${'G'.repeat(64)}`,
  ])('%s names nothing', async (text) => {
    for (const url of faces()) {
      for (const kind of ['manifests', 'blobs', 'referrers']) {
        const answer = await rawRequest(url, 'GET', `/v2/team/app/${kind}/${text}`)
        expect([400, 404], `${kind} at ${url}`).toContain(answer.status)
      }
    }
    const torrent = await rawRequest(seeder.url, 'GET', `/api/v1/torrents/${text}`)
    expect([400, 404, 414]).toContain(torrent.status)
  })
})

describe('a page', () => {
  const list = async (query: string) => {
    const answer = await fetch(`${seeder.url}/v2/team/app/tags/list?${query}`)
    return { status: answer.status, link: answer.headers.get('link'), body: await answer.text() }
  }
  const tagsOf = async (query: string) => JSON.parse((await list(query)).body).tags

  it.each(['n=999999999', `n=${'9'.repeat(20)}`])('%s is as long as the registry likes', async (query) => {
    expect(await tagsOf(query)).toEqual(['1', 't0', 't1', 't2', 't3', 't4'])
  })

  it('has no more than 1000 entries, whatever is asked for', async () => {
    await using crowded = await startLocalSeeder()
    await pushImage(crowded.url, 'team/many', 'a', image)
    for (let from = 0; from < 1_100; from += 100) {
      const tags = Array.from({ length: 100 }, (_, n) => `tag=t${from + n}`).join('&')
      const put = await fetch(`${crowded.url}/v2/team/many/manifests/${image.manifest.digest}?${tags}`, {
        method: 'PUT',
        headers: { 'content-type': image.manifest.mediaType },
        body: Buffer.from(image.manifest.bytes),
      })
      expect(put.status).toBe(201)
    }
    const answer = await fetch(`${crowded.url}/v2/team/many/tags/list?n=999999999`)
    expect(((await answer.json()) as { tags: string[] }).tags).toHaveLength(1_000)
    expect(answer.headers.get('link')).toContain('n=1000&last=')
  })

  it.each(['n=-1', 'n=abc', 'n=1e9', 'n=0x10', 'n=1.5', `n=${'9'.repeat(21)}`, 'n=', 'n=%00'])(
    '%s is refused',
    async (query) => {
      expect((await list(query)).status).toBe(400)
    },
  )

  it.each([
    `last=${'z'.repeat(100_000)}`.slice(0, 12_000),
    'last=..%2f..%2fkeys',
    'last=%0d%0aset-cookie:a',
    'last=%00',
  ])('after something that is no tag is refused: %.24s', async (query) => {
    expect((await list(query)).status).toBe(400)
    expect((await fetch(`${seeder.url}/v2/team/app/referrers/${NOBODY}?${query.slice(0, 300)}`)).status).toBe(
      400,
    )
  })

  it('longer than a URL may be ends the connection, not the service', async () => {
    const answer = await rawRequest(seeder.url, 'GET', `/v2/team/app/tags/list?last=${'z'.repeat(100_000)}`)
    expect([400, 414, 431]).toContain(answer.status)
    expect((await list('n=1')).status).toBe(200)
  })
})

describe('a namespace', () => {
  const HOSTS = [
    'localhost',
    'localhost:7000',
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '[::1]',
    '[::ffff:169.254.169.254]',
    '169.254.169.254',
    '169.254.169.254:80',
    'metadata.google.internal',
    'metadata.goog',
    '100.100.100.200',
    'instance-data',
    'registry.test:5001',
    'registry.test',
    'evil.registry.test:5000',
    'registry.test:5000.evil.test',
    'registry.test:5000/../..',
    'registry.test:5000@evil.test',
    'user:password@registry.test:5000',
    'http://registry.test:5000',
    '//registry.test:5000',
    'registry.test:5000\r\nx-injected: 1',
    'registry.test:5000 HTTP/1.1\r\nhost: evil',
    'registry.test:5000?x=',
    'registry.test:5000#',
    'registry.test:5000\0',
    '..',
    'a'.repeat(5_000),
  ]

  it.each(labelled(HOSTS))(
    '%s, which nobody allowed, is a miss on both faces and asks nobody',
    async (_label, host) => {
      const asked = upstream.seen.length
      for (const url of faces()) {
        for (const rest of ['manifests/1', `blobs/${NOBODY}`, 'tags/list']) {
          const query = new URLSearchParams({ ns: host })
          const answer = await fetch(`${url}/v2/team/app/${rest}?${query}`)
          expect(answer.status, `${rest} at ${url}`).toBe(404)
          expect(answer.headers.get('x-injected')).toBeNull()
        }
        const path = encodeURIComponent(host)
        for (const target of [`/v2/${path}/team/app/manifests/1`, `/${path}/v2/team/app/manifests/1`])
          expect([400, 404]).toContain((await rawRequest(url, 'GET', target)).status)
      }
      expect(upstream.seen.slice(asked).map(({ path }) => path)).toEqual([])
    },
  )

  it('that is allowed is asked, with none of what the client said to us', async () => {
    upstream.addManifest('here')
    const answer = await fetch(`${seeder.url}/v2/team/app/manifests/here?ns=${UPSTREAM}`, {
      headers: { authorization: 'Bearer of-the-client', cookie: 'a=b', 'x-forwarded-for': '10.0.0.1' },
    })
    expect(answer.status).toBe(200)
    const last = upstream.seen.at(-1)!
    expect(last.path).toContain('/v2/team/app/manifests/')
    for (const name of ['authorization', 'cookie', 'x-forwarded-for'])
      expect(
        upstream.seen.some(({ headers }) => headers[name] !== undefined),
        name,
      ).toBe(false)
  })

  it('with a login in it is in no log line', async () => {
    const query = new URLSearchParams({ ns: 'somebody:s3cr3t-in-ns@registry.test:5000' })
    for (const url of faces()) await fetch(`${url}/v2/team/app/manifests/1?${query}`)
    for (const service of [seeder, agent]) {
      expect(linesWith(service, 'ns=').length).toBeGreaterThan(0)
      expect(linesWith(service, 's3cr3t-in-ns')).toEqual([])
    }
  })
})

describe('an agent that forwards pushes', () => {
  it.each([
    ['POST', '/v2/../api/v1/gc'],
    ['POST', '/v2/%2e%2e/api/v1/events'],
    ['POST', '/v2/team/..%5c..%5c..%5capi/v1/gc'],
    ['POST', '/v2/team/\\..\\..\\../api/v1/gc'],
    ['GET', '/v2/../metrics?x=/blobs/uploads/id'],
    ['HEAD', '/v2/../api/v1/resolve?repository=team/app&reference=1&x=/blobs/x'],
    ['POST', '/v2/.%2e/.%2E/api/v1/publish'],
  ])('leads nowhere else on the seeder: %s %s', async (method, target) => {
    const before = seeder.logText().length
    const answer = await rawRequest(agent.url, method, target, { 'content-length': '0' })
    expect([400, 404, 405]).toContain(answer.status)
    expect(seeder.logText().slice(before)).not.toMatch(/"url":"\/(api|metrics)/)
  })
})

/** For titles: short, and without what a terminal would take for an order. */
function labelled(texts: readonly string[]): [label: string, text: string][] {
  return texts.map((text) => [JSON.stringify(text.length > 40 ? `${text.slice(0, 37)}…` : text), text])
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
