/**
 * Goal: another registry is asked for what was wanted, with its own credentials, and can make Shoal neither tell them to others
 * nor go where it should not, nor serve what is not the digest's.
 * Method: a seeder (and an agent) before a registry that lies, redirects and asks for logins in every way; every line that
 * they log, and every request that anybody was sent, is looked at.
 */
import { writeFile } from 'node:fs/promises'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '@shoal/testing/content'
import { type StubServer, startStub } from '@shoal/testing/stub-server'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type StubRegistry,
  startStubRegistry,
} from '../../packages/registry-client/src/testing/stub-registry.ts'
import { filesBelow } from '../support/folder-files.ts'
import { mediaTypes } from '../support/images.ts'
import {
  type LocalSeeder,
  type LocalService,
  linesWith,
  startLocalAgent,
  startLocalSeeder,
} from '../support/local-services.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const HOST = 'registry.test:5000'
const LOGIN = 'robot:s3cr3t-passw0rd'
const BASIC = Buffer.from(LOGIN).toString('base64')
const LAYER = Buffer.alloc(100_000, 'layer')
const digest = sha256(LAYER)
const blobPath = `/v2/team/app/blobs/${digest}`
/** An address of this machine that others could have: a registry there is a private or a public one. */
const outward = Object.values(networkInterfaces())
  .flat()
  .find((each) => each !== undefined && each.family === 'IPv4' && !each.internal)?.address

let stack: AsyncDisposableStack
let upstream: StubRegistry
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  upstream = stack.use(await startStubRegistry())
})
afterEach(() => stack.disposeAsync())

/** A registry's credentials are those of the name that it has in references. */
async function seederOf(registry: { readonly url: string }, settings = {}): Promise<LocalSeeder> {
  const folder = stack.use(await temporaryFolder('docker-config'))
  const dockerConfig = join(folder.path, 'config.json')
  await writeFile(dockerConfig, JSON.stringify({ auths: { [HOST]: { auth: BASIC } } }))
  return stack.use(
    await startLocalSeeder({ upstreams: `${HOST}=${registry.url}`, dockerConfig, ...settings }),
  )
}
const pull = async (service: LocalService, path = `blobs/${digest}`) => {
  const answer = await fetch(`${service.url}/v2/team/app/${path}?ns=${HOST}`)
  return {
    status: answer.status,
    body: Buffer.from(await answer.arrayBuffer().catch(() => new ArrayBuffer(0))),
  }
}
const other = async (handle: Parameters<typeof startStub>[0], address = '127.0.0.2') =>
  stack.use(await startStub(handle, { address }))
const giveLayer: Parameters<typeof startStub>[0] = (_request, response) => {
  response.writeHead(200, { 'content-length': LAYER.length })
  response.end(LAYER)
}
function redirect(registry: StubRegistry, location: string): void {
  registry.overrides.set(blobPath, (_request, response) => void response.writeHead(307, { location }).end())
}
/** Neither what was given to Shoal nor what it was given for it is in any line. */
function expectNoSecrets(...services: LocalService[]): void {
  for (const service of services)
    for (const secret of ['s3cr3t', BASIC, 'token-1', 'token-2', 'Signature=', 'p4th-s3cret'])
      expect(linesWith(service, secret), secret).toEqual([])
}
const credentialsAt = (server: StubServer) =>
  server.seen.filter(
    ({ headers, body, path }) => headers.authorization !== undefined || /s3cr3t|cm9ib3/.test(body + path),
  )

describe('a challenge', () => {
  beforeEach(() => {
    upstream.auth.kind = 'bearer'
    upstream.auth.login = LOGIN
    upstream.addBlob(LAYER)
  })

  it('of the registry’s own token server is answered, and neither login nor token is logged', async () => {
    const seeder = await seederOf(upstream)
    const agent = stack.use(await startLocalAgent(seeder.url))
    expect((await pull(agent)).body.equals(LAYER)).toBe(true)
    expect(upstream.tokenRequests()).toHaveLength(1)
    expectNoSecrets(seeder, agent)
  })

  it.each([
    ['another address', (url: string) => url],
    ['a host that only begins alike', (url: string) => url.replace('127.0.0.2', '127.0.0.1.evil.test')],
    ['a user in front of another host', (url: string) => url.replace('http://', 'http://127.0.0.1@')],
    ['another scheme', (url: string) => url.replace('http://', 'gopher://')],
    ['a file', () => 'file:///etc/passwd'],
    ['the cloud’s metadata', () => 'http://169.254.169.254/latest/api/token'],
  ])('whose realm is %s gets no credentials', async (_what, realmOf) => {
    const thief = await other((_request, response) => void response.end('{"token":"stolen"}'))
    upstream.auth.challenge = `Bearer realm="${realmOf(thief.url)}/token",service="x",scope="repository:team/app:pull,push"`
    const seeder = await seederOf(upstream)
    expect((await pull(seeder)).status).toBe(404)
    expect(thief.seen).toEqual([])
    expect(credentialsAt(upstream)).toEqual([])
    expectNoSecrets(seeder)
  })

  it('that asks for Basic beside a foreign Bearer does not move the login either', async () => {
    const thief = await other((_request, response) => void response.end('{"token":"stolen"}'))
    upstream.auth.challenge = [`Bearer realm="${thief.url}"`, 'Basic realm="x"']
    const seeder = await seederOf(upstream)
    await pull(seeder)
    expect(thief.seen).toEqual([])
    expectNoSecrets(seeder)
  })

  it('asks for no more than to pull, whatever scope the registry names', async () => {
    upstream.auth.challenge = `Bearer realm="${upstream.url}/token",service="x",scope="registry:catalog:* repository:team/app:*"`
    const seeder = await seederOf(upstream)
    await pull(seeder)
    for (const { path, body } of upstream.tokenRequests())
      expect(decodeURIComponent(path + body)).toMatch(/scope=repository:team\/app:pull(&|$)/)
  })

  it.each([
    ['to every request', undefined],
    ['with a token server that gives a new one each time', 'fresh'],
    ['with a token server that asks for a login itself', 'locked'],
  ])('that never ends ends: 401 %s', async (_what, kind) => {
    upstream.overrides.set('/token', (_request, response) => {
      if (kind === 'locked')
        response.writeHead(401, { 'www-authenticate': `Bearer realm="${upstream.url}/token"` }).end()
      else response.end(JSON.stringify({ token: `useless-${Math.random()}` }))
    })
    const seeder = await seederOf(upstream)
    const agent = stack.use(await startLocalAgent(seeder.url))
    const begunAtMs = performance.now()
    for (let attempt = 0; attempt < 5; attempt++) expect((await pull(agent)).status).toBe(404)
    expect(performance.now() - begunAtMs).toBeLessThan(10_000)
    // A few for the first who asks, and none for those who ask right after.
    expect(upstream.seen.length).toBeLessThan(12)
    expectNoSecrets(seeder, agent)
  })

  it('as Basic sends the login to nobody but the registry, not where it redirects', async () => {
    upstream.auth.kind = 'basic'
    const store = await other(giveLayer)
    upstream.overrides.set(blobPath, ({ headers }, response) => {
      if (headers.authorization === undefined)
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      else response.writeHead(307, { location: `${store.url}/b?X-Amz-Signature=s3cr3t-signature` }).end()
    })
    const seeder = await seederOf(upstream)
    expect((await pull(seeder)).body.equals(LAYER)).toBe(true)
    expect(store.seen.length).toBeGreaterThan(0)
    expect(credentialsAt(store).filter(({ headers }) => headers.authorization !== undefined)).toEqual([])
    expectNoSecrets(seeder)
  })
})

describe('a redirect', () => {
  it.each([
    'http://169.254.169.254/latest/meta-data/iam/security-credentials/',
    'http://[::ffff:169.254.169.254]/',
    'http://[fe80::1]/',
    'http://[::]:1/',
    'http://224.0.0.1/',
    'file:///etc/passwd',
    'ftp://127.0.0.1/',
    'http://user:password@127.0.0.1:1/',
    '//169.254.169.254/',
    'http://2852039166/',
    'not a url at all:',
    '',
  ])('to %j is a miss for the client', async (location) => {
    redirect(upstream, location)
    const seeder = await seederOf(upstream)
    expect((await pull(seeder)).status).not.toBe(200)
    expect((await filesBelow(seeder.origin)).filter((file) => file.includes('/blobs/'))).toEqual([])
  })

  it('from a registry on this machine may stay on it', async () => {
    redirect(upstream, `${(await other(giveLayer)).url}/blob`)
    expect((await pull(await seederOf(upstream))).body.equals(LAYER)).toBe(true)
  })

  it.runIf(outward)('from a registry elsewhere does not lead to this machine', async () => {
    const registry = stack.use(await startStubRegistry({ address: outward! }))
    const store = await other(giveLayer, '127.0.0.1')
    const seeder = await seederOf(registry)
    redirect(registry, `${store.url}/blob`)
    expect((await pull(seeder)).status).not.toBe(200)
    redirect(registry, `http://localhost:${new URL(store.url).port}/blob`)
    // The seeder remembers for a while that it is not there: another has to ask.
    expect((await pull(await seederOf(registry))).status).not.toBe(200)
    expect(store.seen).toEqual([])
  })

  it.runIf(outward)('from a registry elsewhere may lead where that one is', async () => {
    const registry = stack.use(await startStubRegistry({ address: outward! }))
    const store = await other(giveLayer, outward!)
    redirect(registry, `${store.url}/blob`)
    const seeder = await seederOf(registry)
    // Of an address that nobody else has (RFC 5737 and the like) this counts as public; a private one leads to private ones.
    expect((await pull(seeder)).body.equals(LAYER)).toBe(true)
  })

  it('that goes round is left after a few', async () => {
    redirect(upstream, blobPath)
    const seeder = await seederOf(upstream)
    expect((await pull(seeder)).status).not.toBe(200)
    expect(upstream.seen.filter(({ path }) => path === blobPath).length).toBeLessThan(20)
  })

  it.each([
    [
      'fails',
      (_: unknown, response: import('node:http').ServerResponse) => void response.writeHead(500).end(),
    ],
    [
      'denies',
      (_: unknown, response: import('node:http').ServerResponse) =>
        void response.writeHead(403).end('<Signature=s3cr3t>'),
    ],
    ['is cut', (_: unknown, response: import('node:http').ServerResponse) => void response.destroy()],
    [
      'ends early',
      (_: unknown, response: import('node:http').ServerResponse) => {
        response.writeHead(200, { 'content-length': LAYER.length })
        response.write(LAYER.subarray(0, 1_000), () => response.destroy())
      },
    ],
  ])('to a presigned URL that %s leaves nothing of it in the log', async (_what, handle) => {
    const store = await other(handle)
    redirect(
      upstream,
      `${store.url}/p4th-s3cret/blob?X-Amz-Credential=AKIA&X-Amz-Signature=s3cr3t&sig=s3cr3t`,
    )
    const seeder = await seederOf(upstream)
    const agent = stack.use(await startLocalAgent(seeder.url))
    const answer = await fetch(`${agent.url}/v2/team/app/blobs/${digest}?ns=${HOST}`)
    const text = await answer.text().catch(() => '')
    expect(answer.status === 200 && text.length === LAYER.length).toBe(false)
    expect(text).not.toContain('s3cr3t')
    expect(store.seen.length).toBeGreaterThan(0)
    expectNoSecrets(seeder, agent)
  })
})

describe('other bytes than those of the digest', () => {
  const evil = Buffer.alloc(LAYER.length, 'evil!')
  const lies: [string, (response: import('node:http').ServerResponse) => void][] = [
    [
      'of the same length',
      (response) => void response.writeHead(200, { 'content-length': evil.length }).end(evil),
    ],
    ['longer', (response) => void response.writeHead(200).end(Buffer.concat([LAYER, evil]))],
    ['shorter', (response) => void response.writeHead(200).end(LAYER.subarray(1))],
    [
      'compressed on the way',
      (response) =>
        void response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': evil.length }).end(evil),
    ],
    [
      'as another part of it',
      (response) =>
        void response
          .writeHead(206, { 'content-range': `bytes 1-${evil.length - 1}/${evil.length}` })
          .end(LAYER.subarray(1)),
    ],
    [
      'with the digest’s own header',
      (response) => void response.writeHead(200, { 'docker-content-digest': digest }).end(evil),
    ],
  ]

  it.each(lies)('%s are given to nobody and kept nowhere', async (_what, lie) => {
    upstream.overrides.set(blobPath, (_request, response) => lie(response))
    const seeder = await seederOf(upstream)
    const agent = stack.use(await startLocalAgent(seeder.url))
    for (const service of [seeder, agent]) {
      const { body } = await pull(service)
      expect(body.includes('evil!')).toBe(false)
      expect(body.equals(LAYER)).toBe(false)
    }
    expect((await filesBelow(seeder.origin)).filter((file) => file.includes('/blobs/'))).toEqual([])
  })
})

describe('a foreign layer', () => {
  it('is fetched from nowhere: its addresses are for the client', async () => {
    const store = await other(giveLayer)
    const [configText] = ['{}']
    upstream.addBlob(configText!)
    const layerOf = (mediaType: string) => ({
      mediaType,
      digest,
      size: LAYER.length,
      urls: [`${store.url}/layer`],
    })
    const manifest = upstream.addManifest('foreign', {
      layers: [
        layerOf('application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'),
        layerOf('application/vnd.oci.image.layer.nondistributable.v1.tar+gzip'),
        layerOf(mediaTypes.oci.layer),
      ],
    })
    const folder = stack.use(await temporaryFolder('token'))
    const apiTokenFile = join(folder.path, 'token')
    await writeFile(apiTokenFile, 'token-of-foreign')
    const seeder = await seederOf(upstream, { apiTokenFile })
    const agent = stack.use(await startLocalAgent(seeder.url))
    expect((await pull(agent, 'manifests/foreign')).body.equals(manifest.bytes)).toBe(true)
    const published = await fetch(`${seeder.url}/api/v1/publish`, {
      method: 'POST',
      headers: { authorization: 'Bearer token-of-foreign' },
      body: JSON.stringify({ references: [`${HOST}/team/app:foreign`], wait: true }),
    })
    expect(await published.text()).toContain('"type":"published"')
    // Pushed here, and pulled by a client that asks for the layer all the same.
    await fetch(`${seeder.url}/v2/own/app/blobs/uploads/?digest=${sha256('{}')}`, {
      method: 'POST',
      body: '{}',
    })
    const put = await fetch(`${seeder.url}/v2/own/app/manifests/1`, {
      method: 'PUT',
      headers: { 'content-type': mediaTypes.oci.manifest },
      body: Buffer.from(manifest.bytes),
    })
    expect(put.status).toBe(201)
    for (const { url } of [seeder, agent]) {
      await fetch(`${url}/v2/own/app/manifests/1`)
      expect((await fetch(`${url}/v2/own/app/blobs/${digest}`)).status).toBe(404)
    }
    expect((await pull(agent)).status).toBe(404)
    expect(store.seen).toEqual([])
  })
})

describe('a list', () => {
  it('leads to no other host for its next page', async () => {
    const elsewhere = await other((_request, response) => void response.end('{"tags":["stolen"]}'))
    upstream.auth.kind = 'basic'
    upstream.auth.login = LOGIN
    upstream.overrides.set('/v2/team/app/tags/list', ({ headers }, response) => {
      if (headers.authorization === undefined)
        return void response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      response.writeHead(200, { link: `<${elsewhere.url}/v2/team/app/tags/list?last=a>; rel="next"` })
      response.end('{"name":"team/app","tags":["a"]}')
    })
    const seeder = await seederOf(upstream)
    const agent = stack.use(await startLocalAgent(seeder.url))
    for (const query of ['n=1', 'n=1&last=a', 'n=1000']) {
      const answer = await fetch(`${agent.url}/v2/team/app/tags/list?${query}&ns=${HOST}`)
      expect(answer.headers.get('link') ?? '').not.toContain(elsewhere.host)
    }
    expect(elsewhere.seen).toEqual([])
    expectNoSecrets(seeder, agent)
  })
})
