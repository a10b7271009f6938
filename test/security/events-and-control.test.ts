/**
 * Goal: whoever has no token controls nothing, whoever has no secret is not believed, and neither ever shows.
 * Method: the routes that the services really register are listed, so that a new one without a decision fails here; every
 * log line is kept, from level trace on.
 */

import { createHmac } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startStub } from '@shoal/testing/stub-server'
import { request } from 'undici'
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
import { pushImage } from '../support/push.ts'
import { rawRequest } from '../support/raw-http.ts'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts'

const TOKEN = 't0ken-of-the-operator'
const SECRET = 's3cret-of-the-registry'
const HOST = 'registry.test:5000'

/** Whoever reaches the seeder may ask these; each with its reason. */
const OPEN_ON_SEEDER: Readonly<Record<string, string>> = {
  'GET /healthz': 'the kubelet has no token; it says only that the process lives',
  'GET /readyz': 'as above',
  'GET /metrics': 'Prometheus; counts without names',
  'GET /announce': 'BitTorrent clients (BEP 3); only swarms of blobs that are here',
  'GET /scrape': 'as above, counts only (BEP 48)',
  'GET /api/v1/resolve': 'agents; until they have accounts, whoever may pull may ask',
  'GET /api/v1/torrents/:digest': 'BitTorrent clients; metainfo of a digest that is known already',
  '* /v2': 'the registry; until there are accounts, it is for everybody who reaches it',
  '* /v2/*': 'as above',
}
/** These are for whoever shows the token, and these for whoever shows a secret. */
const CONTROLLED = ['POST /api/v1/gc', 'POST /api/v1/publish', 'POST /api/v1/scrub']
const PROVEN = ['POST /api/v1/events']
const OPEN_ON_AGENT = ['GET /healthz', 'GET /readyz', 'GET /metrics', '* /v2', '* /v2/*']
/** Programs on the agent's own machine alone: `reachability.test.ts`. */
const LOCAL_ON_AGENT = ['GET /api/v1/status', 'POST /api/v1/reachability']
const OPEN_AMONG_AGENTS = ['GET /api/v1/resolve']

let folder: TemporaryFolder
let upstream: StubRegistry
let seeder: LocalSeeder
let agent: LocalService
const routes: { seeder: string[][]; agent: string[][] } = { seeder: [], agent: [] }

/** Starts a service and keeps what it registers, one list for each of its servers. */
async function withRoutes<T>(start: () => Promise<T>, into: string[][]): Promise<T> {
  const onServer = (message: unknown) => {
    const list: string[] = []
    into.push(list)
    const { fastify } = message as { fastify: { addHook(name: string, hook: (route: Route) => void): void } }
    fastify.addHook('onRoute', ({ method, url }) =>
      list.push(...[method].flat().map((each) => `${each} ${url}`)),
    )
  }
  subscribe('fastify.initialization', onServer)
  try {
    return await start()
  } finally {
    unsubscribe('fastify.initialization', onServer)
  }
}
interface Route {
  readonly method: string | readonly string[]
  readonly url: string
}

beforeAll(async () => {
  folder = await temporaryFolder('secrets')
  const [apiTokenFile, eventSecretsFile] = [join(folder.path, 'token'), join(folder.path, 'events')]
  await writeFile(apiTokenFile, `${TOKEN}\n`)
  await writeFile(eventSecretsFile, `${SECRET}\n`)
  upstream = await startStubRegistry()
  seeder = await withRoutes(
    () => startLocalSeeder({ upstreams: `${HOST}=${upstream.url}`, apiTokenFile, eventSecretsFile }),
    routes.seeder,
  )
  agent = await withRoutes(() => startLocalAgent(seeder.url, { forwardPushes: true }), routes.agent)
})
afterAll(async () => {
  await agent?.stop()
  await seeder?.stop()
  await upstream?.[Symbol.asyncDispose]()
  await folder?.remove()
})

/** The registry routes every method itself; fastify adds HEAD to each GET. */
function distinct(list: readonly string[]): string[] {
  const names = list.map((route) => route.replace(/^[A-Z]+ (?=\/v2)/, '* '))
  return [...new Set(names)].filter((route) => !route.startsWith('HEAD ')).toSorted()
}
const post = (path: string, headers: Record<string, string> = {}, body: unknown = {}) =>
  request(`${seeder.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  }).then(async (answer) => ({ status: answer.statusCode, text: await answer.body.text() }))
const noSecretIn = (...services: LocalService[]) => {
  for (const service of services)
    for (const secret of [TOKEN, SECRET]) expect(linesWith(service, secret), secret).toEqual([])
}

describe('every route', () => {
  it('of the seeder is open on purpose or asks for the token or a secret', () => {
    expect(routes.seeder.map(distinct)).toEqual([
      [...Object.keys(OPEN_ON_SEEDER), ...CONTROLLED, ...PROVEN].toSorted(),
    ])
  })

  it('of an agent is open on purpose: its registry, and to other agents what it knows of images', () => {
    expect(routes.agent.map(distinct).toSorted((a, b) => b.length - a.length)).toEqual([
      [...OPEN_ON_AGENT, ...LOCAL_ON_AGENT].toSorted(),
      OPEN_AMONG_AGENTS,
    ])
  })

  it.each(CONTROLLED)('%s is refused without the token, however it is asked', async (route) => {
    const path = route.slice('POST '.length)
    const before = await filesBelow(seeder.origin)
    const wish = { references: [`${HOST}/team/app:1`], wait: false }
    for (const headers of [
      {},
      { authorization: TOKEN },
      { authorization: `Basic ${Buffer.from(`x:${TOKEN}`).toString('base64')}` },
      { authorization: 'Bearer ' },
      { authorization: 'Bearer wrong' },
      { authorization: `Bearer ${TOKEN}x` },
      { authorization: `Bearer ${TOKEN.slice(0, -1)}` },
      { authorization: `Bearer ${TOKEN.toUpperCase()}` },
      { authorization: `Bearer ${SECRET}` },
      { authorization: `Bearer ${TOKEN},${TOKEN}` },
      { 'x-api-key': TOKEN },
      { cookie: `token=${TOKEN}` },
      { 'x-forwarded-for': '127.0.0.1', 'x-real-ip': '127.0.0.1', 'x-forwarded-user': 'admin' },
      { 'x-original-url': '/healthz', 'x-http-method-override': 'GET' },
    ] as Record<string, string>[]) {
      expect((await post(path, headers, wish)).status, JSON.stringify(headers)).toBe(401)
      expect((await post(`${path}?token=${TOKEN}&access_token=${TOKEN}`, headers, wish)).status).toBe(401)
    }
    for (const spelling of [
      `${path}/`,
      `/${path}`,
      path.toUpperCase(),
      `/v2/..${path}`,
      path.replace('api', '%61pi'),
    ])
      expect([401, 404, 400], spelling).toContain(
        (await rawRequest(seeder.url, 'POST', spelling, { 'content-length': '2' }, '{}')).status,
      )
    // By way of an agent, too.
    expect([400, 404, 405]).toContain(
      (await rawRequest(agent.url, 'POST', path, { 'content-length': '2' }, '{}')).status,
    )
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])
      expect([401, 404], method).toContain((await rawRequest(seeder.url, method, path)).status)
    expect(await filesBelow(seeder.origin)).toEqual(before)
    expect(upstream.seen).toEqual([])
    noSecretIn(seeder, agent)
  })

  it('that controls is refused to everybody where no token is set', async () => {
    await using bare = await startLocalSeeder()
    for (const route of CONTROLLED) {
      for (const authorization of ['', 'Bearer ', 'Bearer undefined', `Bearer ${TOKEN}`]) {
        const answer = await fetch(`${bare.url}${route.slice(5)}`, {
          method: 'POST',
          headers: { authorization },
          body: '{}',
        })
        expect(answer.status).toBe(403)
        expect(await answer.text()).toContain('API_TOKEN_UNSET')
      }
    }
    const events = await fetch(`${bare.url}/api/v1/events?secret=`, { method: 'POST', body: '{"events":[]}' })
    expect(events.status).toBe(403)
  })

  it('that controls reads no body before it knows who asks', async () => {
    const answer = await rawRequest(seeder.url, 'POST', '/api/v1/publish', { 'content-length': '1000000000' })
    expect(answer.status).toBe(401)
  })
})

describe('an event', () => {
  const distribution = (fields: object = {}, target: object = {}) => ({
    events: [
      {
        id: `event-${Math.random()}`,
        action: 'push',
        target: {
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          digest: `sha256:${'1'.repeat(64)}`,
          repository: 'team/app',
          tag: '1',
          url: 'http://registry.test:5000/v2/team/app/manifests/1',
          ...target,
        },
        ...fields,
      },
    ],
  })
  const tell = (
    body: unknown,
    query = '',
    headers: Record<string, string> = { authorization: `Bearer ${SECRET}` },
  ) => post(`/api/v1/events${query}`, headers, body)
  const asked = () => upstream.seen.map(({ path }) => path)

  it.each([
    ['distribution', {}],
    ['harbor', {}],
    ['quay', {}],
    ['ecr', {}],
    ['artifactory', {}],
    ['dockerhub', {}],
    ['ghcr', {}],
    ['cloudevents', {}],
  ])('of format %s is not believed without a secret', async (format) => {
    const body = JSON.stringify(distribution())
    const unsigned = createHmac('sha256', 'another secret').update(body).digest('hex')
    const empty = createHmac('sha256', '').update(body).digest('hex')
    for (const headers of [
      {},
      { authorization: 'Bearer wrong' },
      { authorization: `Bearer ${TOKEN}` },
      { 'x-api-key': 'wrong' },
      { 'x-jfrog-event-auth': unsigned },
      { 'x-hub-signature-256': `sha256=${unsigned}` },
      { 'x-hub-signature-256': `sha256=${empty}` },
      { 'x-hub-signature': `sha1=${unsigned}` },
      { 'x-hub-signature-256': 'sha256=' },
      { 'x-forwarded-for': '127.0.0.1' },
    ] as Record<string, string>[])
      for (const query of [
        `?format=${format}`,
        `?format=${format}&secret=`,
        `?format=${format}&secret=wrong`,
      ])
        expect((await tell(body, query, headers)).status, JSON.stringify(headers)).toBe(403)
    // The format’s weakest proof is the format’s own: others do not take it.
    const byQuery = await tell(body, `?format=${format}&secret=${SECRET}`, {})
    expect(byQuery.status === 403).toBe(!['quay', 'dockerhub'].includes(format))
    noSecretIn(seeder)
  })

  it('asks nobody but registries that are mirrored, whatever it names', async () => {
    await using victim = await startStub((_request, response) => void response.end('{}'))
    const before = asked().length
    for (const host of [
      victim.host,
      'localhost',
      '169.254.169.254',
      'metadata.google.internal',
      '[::1]:80',
    ]) {
      const url = `http://${host}/v2/team/app/manifests/1`
      const direct = await tell(distribution({ request: { host } }, { url }))
      expect([202, 400]).toContain(direct.status)
      const named = await tell(distribution(), `?registry=${encodeURIComponent(host)}`)
      expect([202, 400]).toContain(named.status)
      const hub = {
        callback_url: `${victim.url}/callback`,
        push_data: { tag: '1' },
        repository: { repo_name: 'team/app', repo_url: victim.url },
      }
      expect(
        (await tell(hub, `?format=dockerhub&secret=${SECRET}&registry=${encodeURIComponent(host)}`)).status,
      ).not.toBe(500)
      const quay = {
        repository: 'team/app',
        name: 'app',
        namespace: 'team',
        docker_url: `${host}/team/app`,
        homepage: victim.url,
        updated_tags: ['1'],
      }
      expect((await tell(quay, `?secret=${SECRET}`)).status).not.toBe(500)
    }
    await expect.poll(() => linesWith(seeder, 'push-elsewhere').length).toBeGreaterThan(0)
    await sleep(500)
    expect(victim.seen).toEqual([])
    expect(asked().length).toBe(before)
  })

  it('makes its sender no more than a registry, whatever fields it has', async () => {
    const more = {
      order: { reference: 'ours/app:1', from: `${HOST}/team/secret`, warm: 'all' },
      isPinned: true,
      source: 'publish',
      actor: { name: 'admin', role: 'admin' },
      has_admin_role: true,
      __proto__: { isAdmin: true },
    }
    expect((await tell(distribution(more, more))).status).toBe(202)
    const cloud = {
      specversion: '1.0',
      id: 'c1',
      type: 'dev.shoal.push',
      ...more,
      data: { repository: 'ours/app', tag: '1', ...more },
    }
    expect([202, 400]).toContain((await tell(cloud, '?format=cloudevents')).status)
    await expect.poll(() => asked().some((path) => path.includes('/team/app/manifests/1'))).toBe(true)
    await sleep(300)
    expect(asked().filter((path) => path.includes('secret'))).toEqual([])
    expect(linesWith(seeder, '"event":"image-published"')).toEqual([])
    for (const path of ['/api/v1/gc', '/api/v1/publish'])
      expect((await post(path, { authorization: `Bearer ${SECRET}` })).status).toBe(401)
  })

  it('of more than a megabyte is refused, announced or chunked', async () => {
    const announced = await rawRequest(seeder.url, 'POST', '/api/v1/events', {
      'content-length': '1000000000',
    })
    expect(announced.status).toBe(413)
    const endless = (async function* () {
      for (let sent = 0; sent < 100; sent++) yield Buffer.alloc(65_536, 0x20)
    })()
    const answer = await request(`${seeder.url}/api/v1/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}` },
      body: endless as never,
    }).catch(() => undefined)
    expect([413, undefined]).toContain(answer?.statusCode)
    await answer?.body.dump()
    for (const path of CONTROLLED.map((route) => route.slice(5))) {
      const headers = { authorization: `Bearer ${TOKEN}` }
      expect((await post(path, headers, ' '.repeat(2_000_000))).status, path).toBe(413)
    }
  })

  it.each([
    ['deep', `${'['.repeat(400_000)}${']'.repeat(400_000)}`],
    [
      'deep inside',
      `{"events":[{"id":"1","action":"push","target":${'{"a":'.repeat(150_000)}1${'}'.repeat(150_000)}}]}`,
    ],
    ['wide', JSON.stringify({ events: Array(200_000).fill({}) })],
    ['no JSON', '{'.repeat(500_000)],
    ['no UTF-8', Buffer.from([0xff, 0xfe, 0x00]).toString('latin1')],
    ['null', 'null'],
    ['a number', '1e999'],
    ['of the wrong kinds', '{"events":{"length":1e9}}'],
  ])('that is %s is refused, and the seeder lives', async (_what, body) => {
    expect((await tell(body, '?format=distribution')).status).toBe(400)
    expect((await tell(body, '?format=cloudevents')).status).toBe(400)
    expect((await post('/api/v1/publish', { authorization: `Bearer ${TOKEN}` }, body)).status).toBe(400)
    expect((await fetch(`${seeder.url}/healthz`)).status).toBe(200)
  })
})

describe('publishing', () => {
  const publish = (wish: object) =>
    post('/api/v1/publish', { authorization: `Bearer ${TOKEN}` }, { wait: true, ...wish })

  it.each([
    'http://127.0.0.1/a:1',
    '127.0.0.1:80/a/b:1',
    'localhost/a/b:1',
    '169.254.169.254/latest/meta-data:1',
    'registry.test:5001/team/app:1',
    'registry.test:5000@evil.test/a:1',
    'registry.test:5000/../../x:1',
    'user:password@registry.test:5000/team/app:1',
  ])('from %s, which is not mirrored, asks nobody', async (reference) => {
    const before = upstream.seen.length
    for (const wish of [
      { references: [reference] },
      { references: ['ours/a:1'], from: reference.replace(/:1$/, '') },
    ]) {
      const { status, text } = await publish(wish)
      expect(status).toBe(200)
      expect(text).toContain('"type":"failed"')
      expect(text).not.toContain('"type":"published"')
    }
    expect(upstream.seen.length).toBe(before)
  })

  it.each([
    ['a field that nobody knows', { references: ['a:1'], isPinned: false }],
    ['another', { references: ['a:1'], admin: true }],
    ['too many references', { references: Array(257).fill('a:1') }],
    ['a line in a reference', { references: ['a:1\r\nx: y'] }],
    ['an escape for terminals', { references: ['a:\u001b[31m'] }],
    ['a reference that is none', { references: [{ toString: 'a' }] }],
  ])('with %s is refused', async (_what, wish) => {
    const { status, text } = await publish(wish)
    expect(status).toBe(400)
    expect(text).toContain('REQUEST_INVALID')
  })

  it('with patterns for nodes takes no longer for names that are made for it', async () => {
    await using named = await startLocalAgent(seeder.url, { name: 'a'.repeat(255) })
    const layer = await fileLayer([{ path: 'a', content: 'warm' }])
    await pushImage(seeder.url, 'ours/warm', '1', buildImage({ layers: [layer] }))
    await expect.poll(() => linesWith(seeder, named.peerAddress.split(':')[1]!).length).toBeGreaterThan(0)
    const begunAtMs = performance.now()
    const { text } = await publish({ references: ['ours/warm:1'], warm: `name=${'*a'.repeat(100)}*b` })
    expect(text).toContain('"nodes":0')
    expect(performance.now() - begunAtMs).toBeLessThan(2_000)
  })
})

describe('no secret is in a log at level trace', () => {
  it.each([
    `/api/v1/events?format=quay&secret=${SECRET}`,
    `/api/v1/events?format=dockerhub&SECRET=${SECRET}&secret=${SECRET}`,
    `/api/v1/events?format=dockerhub&%73ecret=${SECRET}`,
    `/api/v1/events/?secret=${SECRET}`,
    `/api/v1/event?secret=${SECRET}`,
    `/api/v1/events?secret=${SECRET}&secret=${SECRET}`,
    `/api/v1/events?%E0%A4%A&secret=${SECRET}`,
    `/v2/?secret=${SECRET}`,
    `/v2/team/app/manifests/1?token=${TOKEN}&access_token=${TOKEN}`,
    `/v2/team/app/manifests/1?ns=${TOKEN}@registry.test`,
    `/${TOKEN}@registry.test/v2/team/app/manifests/1`,
    `/api/v1/resolve?repository=a&reference=1&X-Amz-Signature=${SECRET}`,
    `/announce?passkey=${SECRET}&info_hash=x`,
  ])('%s', async (path) => {
    const shown = { authorization: `Bearer ${TOKEN}`, 'x-api-key': SECRET, cookie: `a=${SECRET}` }
    for (const { url } of [seeder, agent])
      for (const method of ['GET', 'POST', 'PUT'])
        await rawRequest(url, method, path, { ...shown, 'content-length': '2' }, '{}')
    noSecretIn(seeder, agent)
  })

  it('nor in an answer or a log line about a secrets file that cannot be read', async () => {
    await using place = await temporaryFolder('secrets')
    const eventSecretsFile = join(place.path, 'events-of-nobody')
    await writeFile(eventSecretsFile, SECRET)
    await using broken = await startLocalSeeder({ eventSecretsFile, apiTokenFile: eventSecretsFile })
    await rm(eventSecretsFile)
    for (const path of [`/api/v1/events?format=dockerhub&secret=${SECRET}`, '/api/v1/gc']) {
      const answer = await fetch(`${broken.url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${SECRET}` },
        body: '{"push_data":{"tag":"1"},"repository":{"repo_name":"a/b"}}',
      })
      const text = await answer.text()
      expect([400, 403, 500]).toContain(answer.status)
      expect(text).not.toContain(place.path)
    }
    noSecretIn(broken)
    // The operator is told.
    expect(linesWith(broken, 'events-of-nobody').length).toBeGreaterThan(0)
  })
})
