/**
 * Goal: every refusal inside /v2/ is an OCI body with the right status, fastify's own included.
 * Method: paths and methods as raw bytes on the socket, since client libraries tidy them first.
 */
import { OciError } from '@shoal/oci'
import { StorageFullError, StorageRefusedError, StorageUnavailableError } from '@shoal/storage'
import { sha256 } from '@shoal/testing/content'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RegistryBackend } from './backend.ts'
import { rawExchange, rawGet } from './testing/raw-http.ts'
import { codeOf, type RegistryServer, startRegistry } from './testing/registry-server.ts'

let registry: RegistryServer
beforeAll(async () => {
  registry = await startRegistry()
})
afterAll(() => registry.close())

const codeIn = (body: string) => (JSON.parse(body) as { errors: { code: string }[] }).errors[0]!.code

test.each([
  '/v2/../x/manifests/latest',
  '/v2/a/../../etc/manifests/latest',
  '/v2/%2e%2e/x/manifests/latest',
  '/v2/a%2fb/manifests/latest',
  '/v2/a%00b/manifests/latest',
  '/v2/a//b/manifests/latest',
  '/v2//manifests/latest',
  '/v2/_uploads/manifests/latest',
  '/v2/APP/manifests/latest',
  '/v2/a%zz/manifests/latest',
  '/v2/%/manifests/latest',
  `/v2/${'a'.repeat(12_000)}/manifests/latest`,
])('%s is NAME_INVALID', async (path) => {
  for (const method of ['GET', 'PUT']) {
    const { status, body } = await rawGet(registry.port, path, method)
    expect(status).toBe(400)
    expect(codeIn(body)).toBe('NAME_INVALID')
  }
})

test.each(['/v2/_catalog/x', '/v2/x', '/v2/a/manifests', '/v2/a/referrers'])(
  '%s is 404 with an OCI body',
  async (path) => {
    const { status, body } = await rawGet(registry.port, path)
    expect(status).toBe(404)
    expect(codeIn(body)).toBe('UNSUPPORTED')
  },
)

test.each([
  ['POST', '/v2/'],
  ['PATCH', '/v2/a/manifests/x'],
  ['GET', '/v2/a/blobs/uploads/'],
  ['POST', '/v2/a/blobs/uploads/id'],
  ['PUT', '/v2/a/tags/list'],
  ['OPTIONS', '/v2/a/tags/list'],
  ['PROPFIND', '/v2/a/tags/list'],
])('%s %s is 405 UNSUPPORTED', async (method, path) => {
  const { status, body } = await rawGet(registry.port, path, method)
  expect(status).toBe(405)
  expect(codeIn(body)).toBe('UNSUPPORTED')
})

test('outside /v2/ fastify answers as it does', async () => {
  expect((await rawGet(registry.port, '/v1/x')).status).toBe(404)
  expect((await rawGet(registry.port, '/%zz')).status).toBe(400)
  expect((await rawGet(registry.port, '/v2x/%zz')).body).not.toContain('errors')
})

test('a Content-Type that is none', async () => {
  const request =
    'PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: ;;\r\nContent-Length: 2\r\n\r\n{}'
  const answer = await rawExchange(registry.port, request)
  expect(answer).toMatch(/^HTTP\/1\.1 4/)
  expect(answer).toContain('"errors"')
})

test('a 405 in front of a body leaves the connection in order', async () => {
  const first = `POST /v2/a/tags/list HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`
  const answer = await rawExchange(
    registry.port,
    `${first}GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
  )
  expect(answer.match(/HTTP\/1\.1 (405|200)/g)).toEqual(['HTTP/1.1 405', 'HTTP/1.1 200'])
})

describe('a registry that cannot be pushed to', () => {
  let readOnly: RegistryServer
  beforeAll(async () => {
    readOnly = await startRegistry({ backend: () => withoutPush({}) })
  })
  afterAll(() => readOnly.close())

  test.each([
    ['POST', 'blobs/uploads/'],
    ['POST', `blobs/uploads/?digest=${sha256('x')}`],
    ['PATCH', 'blobs/uploads/id'],
    ['GET', 'blobs/uploads/id'],
    ['PUT', `blobs/uploads/id?digest=${sha256('x')}`],
    ['PUT', 'manifests/v1'],
  ])('%s %s', async (method, path) => {
    const answer = await fetch(`${readOnly.url}/v2/app/${path}`, {
      method,
      ...(method === 'GET' ? {} : { body: 'x' }),
    })
    expect(answer.status).toBe(405)
    expect(await codeOf(answer)).toBe('UNSUPPORTED')
  })
})

test.each([
  [new OciError('DENIED', 'no'), 403, 'DENIED'],
  [new StorageUnavailableError('the store', 'read'), 503, 'UNAVAILABLE'],
  // What stays so is not told as what passes: clients would try again for minutes.
  [new StorageRefusedError('s3://secret', 'read', 'AccessDenied'), 500, 'UNKNOWN'],
  [new StorageFullError('s3://secret', 'write'), 507, 'UNKNOWN'],
  [new Error('at /srv/secret'), 500, 'UNKNOWN'],
])('what the backend throws: %s', async (error, status, code) => {
  const failing = await startRegistry({
    backend: () =>
      withoutPush({
        blobStat: () => Promise.reject(error),
        manifest: () => Promise.reject(error),
      }),
  })
  for (const path of [`blobs/${sha256('')}`, 'manifests/v1']) {
    const answer = await fetch(`${failing.url}/v2/app/${path}`)
    expect(answer.status).toBe(status)
    const text = await answer.text()
    expect(codeIn(text)).toBe(code)
    expect(text).not.toContain('secret')
  }
  await failing.close()
})

function withoutPush(given: Partial<RegistryBackend>): RegistryBackend {
  return {
    tags: async () => undefined,
    hasRepository: async () => false,
    referrers: async () => ({ referrers: [] }),
    manifest: async () => undefined,
    blobStat: async () => undefined,
    async *readBlob() {},
    ...given,
  }
}
