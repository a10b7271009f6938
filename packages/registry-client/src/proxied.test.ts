/**
 * Goal: a registry behind an HTTP proxy is reached through it, with its token server and its storage, and what NO_PROXY excepts
 * is not; a proxy's password is shown to the proxy alone.
 * Method: a real proxy in this process; the registry's name leads nowhere but there.
 */

import { proxiesOf } from '@shoal/service'
import { openObjectStore, parseOrigin } from '@shoal/storage'
import { startTestProxy, type TestProxy, type TestProxyInit } from '@shoal/testing/http-proxy'
import { selfSignedCertificate } from '@shoal/testing/self-signed-certificate'
import { answerJson, startStub } from '@shoal/testing/stub-server'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { upstreamAddress } from './address.ts'
import { EcrLogins, ecrRegistryOf } from './ecr.ts'
import { UpstreamRedirectRefusedError, UpstreamUnavailableError } from './errors.ts'
import { bytesOf, clientOf, credentialsFor, type TestClient } from './testing/client-of.ts'
import { type StubRegistry, startStubRegistry } from './testing/stub-registry.ts'

const APP = 'team/app'
const HOST = 'registry.test:5000'
const PASSWORD = 's3cret@proxy'
const { signal } = new AbortController()
let stack: AsyncDisposableStack
let registry: StubRegistry
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  registry = stack.use(await startStubRegistry())
  registry.addManifest('v1')
})
afterEach(() => stack.disposeAsync())

async function proxyTo(names: Record<string, string>, init: Partial<TestProxyInit> = {}): Promise<TestProxy> {
  return stack.use(await startTestProxy({ names, ...init }))
}

/** @param url where the registry says that it is */
function through(
  environment: Record<string, string>,
  url = `http://${HOST}`,
  tls?: { ca: string },
): TestClient {
  const host = new URL(url).host
  return stack.use(
    clientOf(registry, {
      credentials: credentialsFor(host, 'robot:password'),
      parts: { proxies: proxiesOf(environment) },
      init: { address: upstreamAddress(host, url), ...(tls && { tls }) },
      limits: { retriesMax: 0, connectTimeoutMs: 300 },
    }),
  )
}

describe('through a proxy', () => {
  test('plain HTTP goes with its whole URL: manifest, token, blob, and where the blob is redirected to', async () => {
    const cdn = stack.use(
      await startStub((_, response) => void response.setHeader('content-length', 5).end('layer')),
    )
    const proxy = await proxyTo({ [HOST]: registry.host, 'cdn.test': cdn.host })
    registry.auth.kind = 'bearer'
    registry.auth.challenge = `Bearer realm="http://${HOST}/token",service="stub"`
    const { client } = through({ HTTP_PROXY: proxy.url })
    expect(await client.manifest(APP, 'v1', { signal })).toBeDefined()
    const digest = registry.addBlob('layer')
    registry.overrides.set(
      `/v2/${APP}/blobs/${digest}`,
      (_, response) => void response.writeHead(307, { location: 'http://cdn.test/layer' }).end(),
    )
    const blob = await client.blob(APP, digest, { signal })
    expect((await bytesOf(blob!.body)).toString()).toBe('layer')
    const urls = proxy.asked.map((line) => line.replace(/[?].*/, ''))
    expect(urls).toContain(`GET http://${HOST}/v2/${APP}/manifests/v1`)
    expect(urls).toContain(`GET http://${HOST}/token`)
    expect(urls.at(-1)).toBe('GET http://cdn.test/layer')
    expect(cdn.seen[0]!.headers.authorization).toBeUndefined()
    expect(cdn.seen[0]!.headers.host).toBe('cdn.test')
  })

  test('https goes in a tunnel, and the registry’s certificate is checked at its end', async () => {
    const tls = selfSignedCertificate()
    const secure = stack.use(await startStubRegistry({ tls }))
    secure.addManifest('v1')
    const proxy = await proxyTo({ 'localhost:5443': secure.host })
    const url = 'https://localhost:5443'
    const { client } = through({ HTTPS_PROXY: proxy.url }, url, { ca: tls.cert })
    expect(await client.manifest(APP, 'v1', { signal })).toBeDefined()
    expect(proxy.asked).toEqual(['CONNECT localhost:5443'])
    await expect(
      through({ HTTPS_PROXY: proxy.url }, url).client.manifest(APP, 'v1', { signal }),
    ).rejects.toThrow(UpstreamUnavailableError)
  })

  test.each([
    ['http', 'HTTP_PROXY'],
    ['https', 'HTTPS_PROXY'],
  ])('that wants a password: %s', async (scheme, variable) => {
    const tls = selfSignedCertificate()
    const stub = stack.use(await startStubRegistry(scheme === 'https' ? { tls } : {}))
    stub.addManifest('v1')
    const login = `robot:${PASSWORD}`
    const proxy = await proxyTo({ 'localhost:5443': stub.host }, { login })
    const url = `${scheme}://localhost:5443`
    const withLogin = proxy.url.replace('//', `//robot:${encodeURIComponent(PASSWORD)}@`)
    const known = through({ [variable]: withLogin }, url, { ca: tls.cert })
    expect(await known.client.manifest(APP, 'v1', { signal })).toBeDefined()
    expect(stub.seen[0]!.headers['proxy-authorization']).toBeUndefined()
    const wrong = through({ [variable]: withLogin.replace('s3cret', 'wr0ng') }, url, { ca: tls.cert })
    const error = (await wrong.client.manifest(APP, 'v1', { signal }).catch((thrown) => thrown)) as Error
    expect(error).toBeInstanceOf(UpstreamUnavailableError)
    expect(error.message).toContain(`the proxy ${proxy.url} refused`)
    expect(error.message).toContain('check its user and password')
    expect(proxy.asked).toHaveLength(2)
    const told = `${known.logText()}${wrong.logText()}${error.stack}${(error.cause as Error).stack}`
    for (const secret of ['s3cret', 'wr0ng', btoa(login)]) expect(told).not.toContain(secret)
  })

  test('slow blobs are as many as without one, and leave a connection for what is asked beside them', async () => {
    const proxy = await proxyTo({ [HOST]: registry.host })
    const slow = Array.from({ length: 10 }, (_, n) => registry.addBlob(`layer ${n}`))
    for (const digest of slow)
      registry.overrides.set(
        `/v2/${APP}/blobs/${digest}`,
        (_, response) => void response.setHeader('content-length', 7).write('l'),
      )
    const { client } = through({ HTTP_PROXY: proxy.url })
    const blobs = await Promise.all(slow.map((digest) => client.blob(APP, digest, { signal })))
    expect(blobs).toHaveLength(10)
    expect(await client.manifest(APP, 'v1', { signal })).toBeDefined()
    await client.close()
    await Promise.allSettled(blobs.map((blob) => bytesOf(blob!.body)))
  })

  test('a blob that stands still is cut as early as without one', async () => {
    const proxy = await proxyTo({ [HOST]: registry.host })
    const digest = registry.addBlob('layer')
    registry.overrides.set(
      `/v2/${APP}/blobs/${digest}`,
      (_, response) => void response.setHeader('content-length', 5).write('l'),
    )
    const limits = { retriesMax: 0, blobIdleTimeoutMs: 300, bodyIdleTimeoutMs: 120_000 }
    const client = stack.use(
      clientOf(registry, {
        parts: { proxies: proxiesOf({ HTTP_PROXY: proxy.url }) },
        init: { address: upstreamAddress(HOST, `http://${HOST}`) },
        limits,
      }),
    )
    const blob = await client.client.blob(APP, digest, { signal })
    await expect(bytesOf(blob!.body)).rejects.toThrow(/cut|BODY_TIMEOUT/)
  })

  test('what NO_PROXY excepts is asked directly', async () => {
    const proxy = await proxyTo({})
    const { client } = through({ HTTP_PROXY: proxy.url, NO_PROXY: '127.0.0.0/8' }, registry.url)
    expect(await client.manifest(APP, 'v1', { signal })).toBeDefined()
    expect(proxy.asked).toEqual([])
    const proxied = through({ HTTP_PROXY: proxy.url, NO_PROXY: '10.0.0.0/8' }, registry.url)
    await expect(proxied.client.manifest(APP, 'v1', { signal })).rejects.toThrow(UpstreamUnavailableError)
    expect(proxy.asked).toHaveLength(1)
  })

  test.each([
    ['http', 'HTTP_PROXY'],
    ['https', 'HTTPS_PROXY'],
  ])('that says nothing is found out, also for %s', async (scheme, variable) => {
    const proxy = await proxyTo({}, { isSilent: true })
    const client = stack.use(
      clientOf(registry, {
        parts: { proxies: proxiesOf({ [variable]: proxy.url }) },
        init: { address: upstreamAddress(HOST, `${scheme}://${HOST}`) },
        limits: { retriesMax: 0, connectTimeoutMs: 300, headersTimeoutMs: 300, answerTimeoutMs: 10_000 },
      }),
    )
    const begunAt = performance.now()
    await expect(client.client.manifest(APP, 'v1', { signal })).rejects.toThrow(/through the proxy/)
    expect(performance.now() - begunAt).toBeLessThan(8_000)
  })

  test.each([
    'http://127.0.0.1/',
    'http://10.0.0.1/',
    'http://169.254.169.254/',
    'http://localhost/',
    'http://a.localhost./',
  ])('a redirect to %s is not followed: it would be asked of the proxy’s own network', async (location) => {
    const proxy = await proxyTo({ [HOST]: registry.host })
    const digest = registry.addBlob('layer')
    registry.overrides.set(
      `/v2/${APP}/blobs/${digest}`,
      (_, response) => void response.writeHead(307, { location }).end(),
    )
    const { client } = through({ HTTP_PROXY: proxy.url })
    await expect(client.blob(APP, digest, { signal })).rejects.toThrow(UpstreamRedirectRefusedError)
    expect(proxy.asked).toHaveLength(1)
  })
})

test.each([
  ['', 's3.test', '/bucket/?'],
  ['&forcePathStyle=false', 'bucket.s3.test', '/?'],
])('a bucket is reached through the proxy: %s', async (style, host, path) => {
  const listing = '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'
  const bucket = stack.use(await startStub((_, response) => void response.end(listing)))
  const proxy = await proxyTo({ [host]: bucket.host }, { login: `robot:${PASSWORD}` })
  const url = proxy.url.replace('//', `//robot:${encodeURIComponent(PASSWORD)}@`)
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE')
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'x')
  stack.defer(() => void vi.unstubAllEnvs())
  const forcePathStyle = style === '' ? '&forcePathStyle=true' : style
  const origin = parseOrigin(`s3://bucket?endpoint=http://s3.test${forcePathStyle}`)
  const store = await openObjectStore(origin, proxiesOf({ HTTP_PROXY: url }))
  stack.defer(() => store.stop())
  expect((await store.list('', { keysMax: 1 })).keys).toEqual([])
  expect(proxy.asked[0]).toContain(`GET http://${host}${path}`)
  expect(bucket.seen[0]!.headers.host).toBe(host)
  expect(bucket.seen[0]!.headers['proxy-authorization']).toBeUndefined()
})

test('ECR’s login is asked for through the proxy as well', async () => {
  const api = stack.use(
    await startStub((_, response) =>
      answerJson(response, 200, {
        authorizationData: [{ authorizationToken: btoa('AWS:password'), expiresAt: 2_000_000_000 }],
      }),
    ),
  )
  const proxy = await proxyTo({ 'api.ecr.test': api.host })
  const logins = new EcrLogins(
    { nowMs: () => 0, proxies: proxiesOf({ HTTP_PROXY: proxy.url }) },
    { endpoint: 'http://api.ecr.test', credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'x' } },
  )
  const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com'
  expect(await logins.login(host, ecrRegistryOf(host)!)).toEqual({ username: 'AWS', password: 'password' })
  expect(proxy.asked).toEqual(['POST http://api.ecr.test/'])
})
