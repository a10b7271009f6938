/**
 * Goal: the client for other registries understands a real one: open, with Basic, and with a token server.
 * Method: Debian's Distribution registry three times over one folder of images. The tokens are signed here, with a certificate
 * that the registry is told to trust; the password file holds one bcrypt hash, made beforehand, since nothing on a
 * bare Debian makes one.
 */
import { createHash, sign } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseDigest } from '@shoal/core'
import { Credentials, UpstreamClient, UpstreamDeniedError, upstreamAddress } from '@shoal/registry-client'
import { type SelfSignedCertificate, selfSignedCertificate } from '@shoal/testing/self-signed-certificate'
import { answerJson, type StubServer, startStub } from '@shoal/testing/stub-server'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeWith } from '../support/describe-with.ts'
import { freePort } from '../support/free-port.ts'
import { buildImage, buildIndex, type Image, type Index } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { startProcess } from '../support/process.ts'
import { pushImage, pushIndex } from '../support/push.ts'
import { answers, untilReady } from '../support/readiness.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const APP = 'team/app'
const PASSWORD = 'pull-only'
const HTPASSWD = 'robot:$2b$04$At0zyxBG.v2FUoUVF3GLWeegs9ogJme0lfXQmkJpriWFFUHj2qHuC\n'
const { signal } = new AbortController()

describeWith(['docker-registry'], 'the upstream client against the Distribution registry', () => {
  const stack = new AsyncDisposableStack()
  const urls = { open: '', basic: '', token: '' }
  let tokenServer: StubServer
  let image: Image
  let index: Index

  beforeAll(async () => {
    const folder = stack.use(await temporaryFolder('upstream-client'))
    const certificate = selfSignedCertificate()
    tokenServer = stack.use(await startTokenServer(certificate))
    await mkdir(join(folder.path, 'data'))
    const [htpasswd, authority] = [join(folder.path, 'htpasswd'), join(folder.path, 'authority.pem')]
    await writeFile(htpasswd, HTPASSWD)
    await writeFile(authority, certificate.cert)
    const auth = {
      open: '',
      basic: `auth: { htpasswd: { realm: images, path: ${htpasswd} } }`,
      token: `auth: { token: { realm: "${tokenServer.url}/token", service: images, issuer: shoal-test, rootcertbundle: ${authority} } }`,
    }
    for (const kind of ['open', 'basic', 'token'] as const) {
      urls[kind] = await startRegistry(stack, folder.path, kind, auth[kind])
    }
    image = buildImage({ layers: [await randomLayer({ contentBytes: 3_000_000, seed: 'upstream' })] })
    index = buildIndex([image])
    for (const tag of ['1', '2', '3']) await pushImage(urls.open, APP, tag, image)
    await pushIndex(urls.open, APP, 'all', index)
  })
  afterAll(() => stack.disposeAsync())

  function connect(kind: keyof typeof urls, password?: string): UpstreamClient {
    const { host } = new URL(urls[kind])
    const stem = `SHOAL_UPSTREAM_${host.replace(/\W/g, '_')}`
    const environment =
      password === undefined ? {} : { [`${stem}_USERNAME`]: 'robot', [`${stem}_PASSWORD`]: password }
    const credentials = new Credentials({ environment })
    const log = pino({ level: 'silent' })
    const parts = { credentials, nowMs: () => Date.now(), log }
    const client = new UpstreamClient(parts, { address: upstreamAddress(host, urls[kind]) })
    stack.defer(() => client.close())
    return client
  }

  describe.each([
    ['open', undefined],
    ['basic', PASSWORD],
    ['token', PASSWORD],
  ] as const)('%s', (kind, password) => {
    it('gives manifests, blobs and ranges, byte for byte', async () => {
      const client = connect(kind, password)
      const { digest, mediaType, bytes } = image.manifest
      const stat = await client.manifestDigest(APP, '1', signal)
      expect(stat).toEqual({ digest, mediaType, length: bytes.length })
      const manifest = await client.manifest(APP, digest, { signal })
      expect(manifest).toEqual({ ...stat, bytes: Buffer.from(bytes) })
      expect(await client.manifest(APP, 'all', { signal })).toMatchObject({ digest: index.manifest.digest })
      expect(await client.manifest(APP, '1', { ifNoneMatch: stat!.digest, signal })).toBe('not-modified')

      const [layer] = image.layers
      const whole = await client.blob(APP, parseDigest(layer!.digest), { signal })
      expect(whole!.length).toBe(layer!.sizeBytes)
      const content = await bytesOf(whole!.body)
      expect(`sha256:${createHash('sha256').update(content).digest('hex')}`).toBe(layer!.digest)
      const range = { start: 1_000_000, end: 1_500_000 }
      const part = await client.blob(APP, parseDigest(layer!.digest), { range, signal })
      expect(part!.length).toBe(layer!.sizeBytes)
      expect((await bytesOf(part!.body)).equals(content.subarray(range.start, range.end))).toBe(true)
    })

    it('gives tags page by page, and says what it has not', async () => {
      const client = connect(kind, password)
      const first = await client.tags(APP, { tagsMax: 3 }, signal)
      expect(first).toMatchObject({ tags: ['1', '2', '3'], more: true })
      const second = await client.tags(APP, { tagsMax: 3, after: '3' }, signal)
      expect(second).toEqual({ tags: ['all'], more: false })
      const nothing = parseDigest(`sha256:${'0'.repeat(64)}`)
      expect(await client.manifest(APP, 'none', { signal })).toBeUndefined()
      expect(await client.manifestDigest(APP, nothing, signal)).toBeUndefined()
      expect(await client.blob(APP, nothing, { signal })).toBeUndefined()
      expect(await client.tags('team/none', { tagsMax: 3 }, signal)).toBeUndefined()
      expect(await client.referrers(APP, parseDigest(image.manifest.digest), {}, signal)).toEqual([])
    })
  })

  it.each([
    ['basic', undefined],
    ['basic', 'wrong'],
    ['token', 'wrong'],
  ] as const)('%s with the password %s is denied', async (kind, password) => {
    await expect(connect(kind, password).manifest(APP, '1', { signal })).rejects.toThrow(UpstreamDeniedError)
  })

  it('one token serves a whole pull', async () => {
    const client = connect('token', PASSWORD)
    const askedBefore = tokenServer.seen.length
    await Promise.all(['1', '2', '3', 'all'].map((tag) => client.manifest(APP, tag, { signal })))
    await Promise.all(
      image.blobs.map(async ({ digest }) =>
        bytesOf((await client.blob(APP, parseDigest(digest), { signal }))!.body),
      ),
    )
    expect(tokenServer.seen).toHaveLength(askedBefore + 1)
  })
})

async function startRegistry(
  stack: AsyncDisposableStack,
  folder: string,
  name: string,
  auth: string,
): Promise<string> {
  const address = `127.0.0.1:${await freePort()}`
  const configuration = join(folder, `${name}.yml`)
  await writeFile(
    configuration,
    `version: 0.1
log: { level: warn, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${join(folder, 'data')} } }
http: { addr: "${address}" }
${auth}
`,
  )
  const registry = startProcess('docker-registry', ['serve', configuration])
  stack.defer(async () => {
    await registry.kill9()
  })
  const url = `http://${address}`
  await untilReady(registry, 'docker-registry', 20_000, () => answers(`${url}/v2/`, [200, 401]))
  return url
}

/** Knows one robot, and lets it pull whatever it asks for. Distribution's token specification; ES256 with `x5c`. */
function startTokenServer(certificate: SelfSignedCertificate): Promise<StubServer> {
  const login = `Basic ${Buffer.from(`robot:${PASSWORD}`).toString('base64')}`
  return startStub(({ path, headers }, response) => {
    const query = new URL(path, 'http://x').searchParams
    const [type, name] = (query.get('scope') ?? '').split(':')
    if (headers.authorization !== login) {
      answerJson(response, 401, {})
      return
    }
    const nowSeconds = Math.floor(Date.now() / 1_000)
    const claims = {
      iss: 'shoal-test',
      sub: 'robot',
      aud: query.get('service'),
      nbf: nowSeconds - 10,
      iat: nowSeconds,
      exp: nowSeconds + 300,
      jti: String(nowSeconds),
      access: [{ type, name, actions: ['pull'] }],
    }
    const part = (document: unknown) => Buffer.from(JSON.stringify(document)).toString('base64url')
    const text = `${part({ typ: 'JWT', alg: 'ES256', x5c: [certificate.x5c] })}.${part(claims)}`
    const key = { key: certificate.privateKey, dsaEncoding: 'ieee-p1363' } as const
    const signature = sign('sha256', Buffer.from(text), key).toString('base64url')
    answerJson(response, 200, { token: `${text}.${signature}`, expires_in: 300 })
  })
}

async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of body) parts.push(part)
  return Buffer.concat(parts)
}
