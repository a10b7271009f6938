/**
 * Goal: blobs are fetched from where the registry points, without its authorization, and never from inside the network.
 * Method: a registry and a storage on other ports and addresses of this machine; names that lead inside are looked up for real.
 */

import { sha256 } from '@shoal/testing/content'
import { selfSignedCertificate } from '@shoal/testing/self-signed-certificate'
import { type StubHandler, type StubServer, startStub } from '@shoal/testing/stub-server'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UpstreamConnections } from './connections.ts'
import {
  UpstreamBusyError,
  UpstreamDeniedError,
  UpstreamInvalidError,
  UpstreamRedirectRefusedError,
} from './errors.ts'
import { UPSTREAM_LIMITS } from './limits.ts'
import { bytesOf, clientOf, type TestClientInit } from './testing/client-of.ts'
import { type StubRegistry, startStubRegistry } from './testing/stub-registry.ts'

const APP = 'team/app'
const LAYER = 'the layer'
const digest = sha256(LAYER)
const { signal } = new AbortController()
let registry: StubRegistry
let stack: AsyncDisposableStack
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  registry = stack.use(await startStubRegistry())
  registry.auth.kind = 'bearer'
})
afterEach(() => stack.disposeAsync())

const storage = async (
  handle: StubHandler = (_, response) => void response.end(LAYER),
  init: Parameters<typeof startStub>[1] = { address: '127.0.0.2' },
): Promise<StubServer> =>
  stack.use(
    await startStub((request, response) => {
      if (!request.headers.range) response.setHeader('content-length', LAYER.length)
      return handle(request, response)
    }, init),
  )

function redirectTo(location: string, from: StubRegistry = registry, status = 307): void {
  from.overrides.set(`/v2/${APP}/blobs/${digest}`, ({ headers }, response) => {
    const isLetIn = from.auth.kind === 'none' || headers.authorization !== undefined
    const challenge = `Bearer realm="${from.url}/token"`
    response.writeHead(isLetIn ? status : 401, isLetIn ? { location } : { 'www-authenticate': challenge })
    response.end()
  })
}

async function pull(init: TestClientInit = {}, from: StubServer = registry): Promise<string> {
  const { client } = stack.use(clientOf(from, init))
  const blob = await client.blob(APP, digest, { signal })
  return (await bytesOf(blob!.body)).toString()
}

describe('a redirect', () => {
  test.each([301, 302, 303, 307, 308])(
    'of status %i is followed, and no authorization with it',
    async (status) => {
      const cdn = await storage()
      redirectTo(`${cdn.url}/bucket/layer?X-Signature=secret`, registry, status)
      expect(await pull()).toBe(LAYER)
      expect(registry.seen.at(-1)!.headers.authorization).toMatch(/^Bearer /)
      expect(cdn.seen).toHaveLength(1)
      expect(cdn.seen[0]!.path).toBe('/bucket/layer?X-Signature=secret')
      expect(cdn.seen[0]!.headers.authorization).toBeUndefined()
    },
  )

  test('keeps the range', async () => {
    const cdn = await storage(({ headers }, response) => {
      expect(headers.range).toBe('bytes=4-6')
      response.writeHead(206, { 'content-range': `bytes 4-6/${LAYER.length}`, 'content-length': 3 })
      response.end(LAYER.slice(4, 7))
    })
    redirectTo(cdn.url)
    const { client } = stack.use(clientOf(registry))
    const part = await client.blob(APP, digest, { range: { start: 4, end: 7 }, signal })
    expect(part!.length).toBe(LAYER.length)
    expect((await bytesOf(part!.body)).toString()).toBe('lay')
  })

  test('relative, and several in a row, up to five', async () => {
    let left = 4
    const cdn = await storage((_, response) => {
      if (left-- > 0) response.removeHeader('content-length')
      if (left >= 0) return void response.writeHead(302, { location: `/hop/${left}` }).end()
      response.end(LAYER)
    })
    redirectTo(cdn.url)
    expect(await pull()).toBe(LAYER)
    expect(cdn.seen).toHaveLength(5)
    left = 5
    await expect(pull()).rejects.toThrow(/redirects more than 5 times/)
  })

  test('within the registry keeps the authorization; back from elsewhere does not', async () => {
    const own = '/v2/moved'
    registry.overrides.set(own, (_, response) => {
      response.setHeader('content-length', LAYER.length)
      response.end(LAYER)
    })
    redirectTo(own)
    expect(await pull()).toBe(LAYER)
    expect(registry.seen.at(-1)!.headers.authorization).toMatch(/^Bearer /)
    const cdn = await storage((_, response) => {
      response.removeHeader('content-length')
      response.writeHead(302, { location: `${registry.url}${own}` }).end()
    })
    redirectTo(cdn.url)
    expect(await pull()).toBe(LAYER)
    expect(registry.seen.at(-1)!.path).toBe(own)
    expect(registry.seen.at(-1)!.headers.authorization).toBeUndefined()
  })

  test('to a busy storage does not stop manifests', async () => {
    registry.addManifest('v1')
    const cdn = await storage((_, response) => {
      response.removeHeader('content-length')
      response.writeHead(429, { 'retry-after': '60' }).end()
    })
    redirectTo(cdn.url)
    const { client } = stack.use(clientOf(registry))
    await expect(client.blob(APP, digest, { signal })).rejects.toThrow(UpstreamBusyError)
    expect(client.busyUntilMs).toBeUndefined()
    expect(await client.manifest(APP, 'v1', { signal })).toBeDefined()
  })

  test('without a place, or to no web server', async () => {
    registry.auth.kind = 'none'
    registry.overrides.set(`/v2/${APP}/blobs/${digest}`, (_, response) => void response.writeHead(302).end())
    await expect(pull()).rejects.toThrow(UpstreamInvalidError)
    for (const place of ['file:///etc/passwd', 'ftp://127.0.0.2/x', 'http://user:pass@127.0.0.2/x']) {
      redirectTo(place)
      await expect(pull()).rejects.toThrow(UpstreamRedirectRefusedError)
    }
  })

  test('never leads from https to http', async () => {
    const tls = selfSignedCertificate()
    const secure = stack.use(await startStubRegistry({ tls }))
    const plain = await storage()
    redirectTo(plain.url, secure)
    await expect(pull({ init: { tls: { ca: tls.cert } } }, secure)).rejects.toThrow(/from https to http/)
    expect(plain.seen).toEqual([])
    const cdn = await storage(undefined, { address: '127.0.0.2', tls })
    redirectTo(cdn.url, secure)
    expect(await pull({ init: { tls: { ca: tls.cert } } }, secure)).toBe(LAYER)
  })

  test('to a storage that refuses is told without the secrets in its URL', async () => {
    const cdn = await storage((_, response) => {
      response.removeHeader('content-length')
      response.writeHead(403).end()
    })
    redirectTo(`${cdn.url}/bucket/layer?X-Signature=secret`)
    const error = (await pull().catch((thrown: unknown) => thrown)) as Error
    expect(error).toBeInstanceOf(UpstreamDeniedError)
    expect(error.message).toContain(cdn.host)
    expect(error.message).not.toMatch(/secret|bucket/)
  })

  test('applies to manifests as well', async () => {
    const { bytes } = registry.addManifest('v1')
    const cdn = await storage((_, response) => {
      response.setHeader('content-length', bytes.length)
      response.end(bytes)
    })
    registry.overrides.set(`/v2/${APP}/manifests/moved`, (_, response) => {
      response.writeHead(307, { location: `${cdn.url}/m` }).end()
    })
    const { client } = stack.use(clientOf(registry))
    expect(await client.manifest(APP, 'moved', { signal })).toMatchObject({ bytes })
  })
})

describe('inside the network', () => {
  test.each([
    'http://169.254.169.254/latest/meta-data/',
    'http://[fe80::1]/',
    'http://[::ffff:169.254.169.254]/',
    'http://[64:ff9b::a9fe:a9fe]/',
    'http://2852039166/latest',
    'http://224.0.0.1/',
  ])('%s is not followed even from a registry on this machine', async (place) => {
    redirectTo(place)
    await expect(pull()).rejects.toThrow(UpstreamRedirectRefusedError)
  })

  // A public registry cannot be had here; the connections of one can, and this is where it would lead them.
  test.each([
    'http://127.0.0.2/',
    'http://localhost/',
    'http://10.0.0.1/',
    'http://[::1]/',
    'http://0.0.0.0/',
  ])('%s is not followed from a public registry', async (place) => {
    const address = { host: '192.0.2.1', url: 'http://192.0.2.1' }
    const connections = new UpstreamConnections(address, UPSTREAM_LIMITS, undefined)
    stack.defer(() => connections.close())
    const request = { method: 'GET', url: new URL(place), headers: {}, lane: 'blob', signal } as const
    await expect(connections.request(request)).rejects.toThrow(UpstreamRedirectRefusedError)
  })

  test('a registry on this machine may lead to itself by another name', async () => {
    const cdn = await storage(undefined, {})
    redirectTo(cdn.url.replace('127.0.0.1', 'localhost'))
    expect(await pull()).toBe(LAYER)
  })
})
