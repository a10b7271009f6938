/**
 * Goal: what the client gives is what the registry has, verified, and every way in which a registry can fail has its own error.
 * Method: a stub registry over real sockets, correct until a test overrides one path; a clock that stands still.
 */
import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { MEDIA_TYPES } from '@shoal/oci'
import { sha256 } from '@shoal/testing/content'
import { answerJson } from '@shoal/testing/stub-server'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  UpstreamBusyError,
  UpstreamClosedError,
  UpstreamDeniedError,
  UpstreamInvalidError,
  UpstreamRangeRefusedError,
  UpstreamUnavailableError,
} from './errors.ts'
import { bytesOf, clientOf, type TestClient, type TestClientInit } from './testing/client-of.ts'
import { type StubRegistry, startStubRegistry } from './testing/stub-registry.ts'

const APP = 'team/app'
const { signal } = new AbortController()
let registry: StubRegistry
let stack: AsyncDisposableStack
beforeEach(async () => {
  stack = new AsyncDisposableStack()
  registry = stack.use(await startStubRegistry())
})
afterEach(() => stack.disposeAsync())

const connect = (init: TestClientInit = {}): TestClient => stack.use(clientOf(registry, init))

describe('a manifest', () => {
  test('by tag and by digest', async () => {
    const { digest, bytes } = registry.addManifest('v1')
    const { client } = connect()
    for (const reference of ['v1', digest]) {
      const manifest = await client.manifest(APP, reference, { signal })
      expect(manifest).toEqual({ digest, length: bytes.length, mediaType: MEDIA_TYPES.ociManifest, bytes })
    }
    expect(registry.seen[0]!.headers.accept).toContain(MEDIA_TYPES.dockerManifestList)
  })

  test('that is not there is undefined', async () => {
    const { client } = connect()
    expect(await client.manifest(APP, 'v2', { signal })).toBeUndefined()
    expect(await client.manifestDigest(APP, 'v2', signal)).toBeUndefined()
  })

  test('that the caller has is not sent again', async () => {
    const { digest } = registry.addManifest('v1')
    const { client } = connect()
    expect(await client.manifest(APP, 'v1', { ifNoneMatch: digest, signal })).toBe('not-modified')
    const moved = await client.manifest(APP, 'v1', { ifNoneMatch: sha256('other'), signal })
    expect(moved).toMatchObject({ digest })
  })

  test('is asked for by HEAD, and by GET where HEAD says too little or is not served', async () => {
    const { digest, bytes } = registry.addManifest('v1')
    const { client } = connect()
    const stat = { digest, length: bytes.length, mediaType: MEDIA_TYPES.ociManifest }
    expect(await client.manifestDigest(APP, 'v1', signal)).toEqual(stat)
    expect(registry.seen.map(({ method }) => method)).toEqual(['HEAD'])
    for (const status of [405, 200, 403, 400]) {
      registry.overrides.set(`/v2/${APP}/manifests/v1`, (request, response) => {
        response.writeHead(request.method === 'HEAD' ? status : 200, { 'content-type': stat.mediaType })
        response.end(request.method === 'HEAD' ? undefined : bytes)
      })
      expect(await client.manifestDigest(APP, 'v1', signal)).toEqual(stat)
    }
  })

  test('may be named by a digest of another algorithm', async () => {
    const { digest, bytes } = registry.addManifest('v1')
    const { client } = connect()
    const sha512 = `sha512:${createHash('sha512').update(bytes).digest('hex')}`
    for (const named of [sha512, `sha384:${'0'.repeat(96)}`, 'blake3:abc']) {
      registry.overrides.set(`/v2/${APP}/manifests/${digest}`, (_, response) => {
        const headers = { 'content-type': MEDIA_TYPES.ociManifest, 'content-length': bytes.length }
        response.writeHead(200, { ...headers, 'docker-content-digest': named }).end(bytes)
      })
      expect(await client.manifest(APP, digest, { signal })).toMatchObject({ digest, bytes })
      expect(await client.manifestDigest(APP, digest, signal)).toMatchObject({ digest, length: bytes.length })
    }
  })

  test('comes chunked as well, and by HEAD without a length', async () => {
    const { digest, bytes } = registry.addManifest('v1')
    registry.overrides.set(`/v2/${APP}/manifests/v1`, ({ method }, response) => {
      const headers = { 'content-type': MEDIA_TYPES.ociManifest, 'docker-content-digest': digest }
      response.writeHead(200, { ...headers, 'transfer-encoding': 'chunked' })
      if (method !== 'HEAD') for (const byte of bytes) response.write(Buffer.from([byte]))
      response.end()
    })
    const { client } = connect()
    expect(await client.manifest(APP, 'v1', { signal })).toMatchObject({ digest, bytes })
    expect(await client.manifestDigest(APP, 'v1', signal)).toMatchObject({ digest, length: bytes.length })
  })
  test.each(['text/plain; charset=utf-8', 'application/octet-stream', 'binary/octet-stream', undefined])(
    'that a file server gives as %s is what it says itself',
    async (contentType) => {
      const { digest, bytes } = registry.addManifest('v1')
      registry.overrides.set(`/v2/${APP}/manifests/v1`, (_, response) => {
        response.writeHead(200, contentType === undefined ? {} : { 'content-type': contentType }).end(bytes)
      })
      const manifest = await connect().client.manifest(APP, 'v1', { signal })
      expect(manifest).toMatchObject({ digest, mediaType: 'application/json' })
    },
  )

  test('with other bytes than its digest’s, or than the registry says, is refused', async () => {
    const { digest } = registry.addManifest('v1')
    const { client } = connect()
    const other = Buffer.from('{"schemaVersion":2}')
    registry.overrides.set(`/v2/${APP}/manifests/${digest}`, (_, response) => void response.end(other))
    await expect(client.manifest(APP, digest, { signal })).rejects.toThrow(UpstreamInvalidError)
    registry.overrides.set(`/v2/${APP}/manifests/v1`, (_, response) => {
      response.writeHead(200, { 'docker-content-digest': digest }).end(other)
    })
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(/other bytes than those of sha256:/)
    registry.overrides.set(`/v2/${APP}/manifests/v1`, (_, response) => {
      response.writeHead(200, { 'docker-content-digest': 'sha256:none' }).end(other)
    })
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(UpstreamInvalidError)
  })

  test.each([
    ['announced', (response: ServerResponse) => response.writeHead(200, { 'content-length': 5_000 })],
    ['not announced', (response: ServerResponse) => response.writeHead(200)],
  ])('that is too long is given up, its length %s', async (_how, head) => {
    registry.overrides.set(`/v2/${APP}/manifests/v1`, (_, response) => {
      head(response)
      response.end(Buffer.alloc(5_000, 0x20))
    })
    const { client } = connect({ limits: { manifestBytesMax: 4_999 } })
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(/longer than the 4999 bytes/)
  })

  test('with a sha512 digest is verified by sha512', async () => {
    const { client } = connect()
    const digest = `sha512:${'0'.repeat(128)}`
    registry.overrides.set(`/v2/${APP}/manifests/${digest}`, (_, response) => void response.end('{}'))
    await expect(client.manifest(APP, digest, { signal })).rejects.toThrow(UpstreamInvalidError)
  })

  test('of Docker Hub is found below library/', async () => {
    const bytes = Buffer.from('{}')
    registry.content.set('/v2/library/nginx/manifests/1', { bytes, mediaType: 'application/json' })
    const { client } = connect({ init: { address: { host: 'docker.io', url: registry.url } } })
    expect(await client.manifest('nginx', '1', { signal })).toMatchObject({ digest: sha256('{}') })
  })
})

describe('a blob', () => {
  const content = Buffer.from(Array.from({ length: 200_000 }, (_, index) => index % 251))

  test('whole, and by range', async () => {
    const digest = registry.addBlob(content)
    const { client } = connect()
    const whole = await client.blob(APP, digest, { signal })
    expect(whole!.length).toBe(200_000)
    expect((await bytesOf(whole!.body)).equals(content)).toBe(true)
    for (const [start, end] of [
      [0, 1],
      [100_000, 150_000],
      [199_999, 300_000],
    ] as const) {
      const part = await client.blob(APP, digest, { range: { start, end }, signal })
      expect(part!.length).toBe(200_000)
      expect((await bytesOf(part!.body)).equals(content.subarray(start, end))).toBe(true)
    }
    expect(await client.blob(APP, sha256('missing'), { signal })).toBeUndefined()
    await expect(
      client.blob(APP, digest, { range: { start: 200_000, end: 200_001 }, signal }),
    ).rejects.toThrow(UpstreamInvalidError)
  })

  test('from a registry that ignores ranges is cut out of the whole', async () => {
    const digest = registry.addBlob(content)
    registry.overrides.set(
      `/v2/${APP}/blobs/${digest}`,
      (_, response) => void response.writeHead(200, { 'content-length': content.length }).end(content),
    )
    const { client } = connect()
    for (const range of [
      { start: 0, end: 10 },
      { start: 70_000, end: 140_000 },
      { start: 199_000, end: 200_000 },
    ]) {
      const part = await client.blob(APP, digest, { range, signal })
      expect((await bytesOf(part!.body)).equals(content.subarray(range.start, range.end))).toBe(true)
    }
  })

  test.each([400, 416, 501])(
    'from a storage that refuses ranges with %i is cut out of the whole',
    async (status) => {
      const digest = registry.addBlob(content)
      registry.overrides.set(`/v2/${APP}/blobs/${digest}`, ({ headers }, response) => {
        if (headers.range !== undefined) response.writeHead(status).end('<Error/>')
        else response.writeHead(200, { 'content-length': content.length }).end(content)
      })
      const { client } = connect()
      const range = { start: 70_000, end: 140_000 }
      const part = await client.blob(APP, digest, { range, signal })
      expect((await bytesOf(part!.body)).equals(content.subarray(70_000, 140_000))).toBe(true)
      const outside = client.blob(APP, digest, { range: { start: 200_000, end: 200_001 }, signal })
      await expect(outside).rejects.toThrow(/lie outside the blob/)
      const asked = registry.seen.length
      await expect(client.blob(APP, digest, { range, isRangeOnly: true, signal })).rejects.toThrow(
        UpstreamRangeRefusedError,
      )
      expect(registry.seen).toHaveLength(asked + 1)
    },
  )

  test('that is wanted in part or not at all is not begun where the whole would come', async () => {
    const digest = registry.addBlob(content)
    registry.overrides.set(
      `/v2/${APP}/blobs/${digest}`,
      (_, response) => void response.writeHead(200, { 'content-length': content.length }).end(content),
    )
    const { client } = connect()
    await expect(
      client.blob(APP, digest, { range: { start: 5, end: 10 }, isRangeOnly: true, signal }),
    ).rejects.toThrow(UpstreamRangeRefusedError)
  })

  describe('whose answer does not say its length', () => {
    let digest: ReturnType<typeof sha256>
    beforeEach(() => {
      digest = registry.addBlob(content)
      registry.overrides.set(`/v2/${APP}/blobs/${digest}`, (_, response) => {
        response.writeHead(200, { 'transfer-encoding': 'chunked' })
        response.write(content.subarray(0, 100_000))
        response.end(content.subarray(100_000))
      })
    })

    test('is as long as its manifest says, and not a byte longer or shorter', async () => {
      const { client } = connect()
      const whole = await client.blob(APP, digest, { length: content.length, signal })
      expect(whole!.length).toBe(content.length)
      expect((await bytesOf(whole!.body)).equals(content)).toBe(true)
      const range = { start: 150_000, end: 160_000 }
      const part = await client.blob(APP, digest, { length: content.length, range, signal })
      expect((await bytesOf(part!.body)).equals(content.subarray(150_000, 160_000))).toBe(true)
      const shorter = await client.blob(APP, digest, { length: content.length + 1, signal })
      await expect(bytesOf(shorter!.body)).rejects.toThrow(UpstreamUnavailableError)
      const longer = await client.blob(APP, digest, { length: content.length - 1, signal })
      await expect(bytesOf(longer!.body)).rejects.toThrow(UpstreamInvalidError)
    })

    test('comes whole where no manifest says it either, up to a limit', async () => {
      const { client } = connect()
      const whole = await client.blob(APP, digest, { signal })
      expect(whole!.length).toBeUndefined()
      expect((await bytesOf(whole!.body)).equals(content)).toBe(true)
      const { client: strict } = connect({ limits: { unsaidLengthBytesMax: content.length - 1 } })
      const longer = await strict.blob(APP, digest, { signal })
      await expect(bytesOf(longer!.body)).rejects.toThrow(/more than the 199999 bytes/)
    })

    test('is not whole when it is cut', async () => {
      registry.overrides.set(`/v2/${APP}/blobs/${digest}`, (_, response) => {
        response.writeHead(200, { 'transfer-encoding': 'chunked' })
        response.write(content.subarray(0, 1_000), () => response.destroy())
      })
      const { client } = connect()
      const blob = await client.blob(APP, digest, { signal })
      await expect(bytesOf(blob!.body)).rejects.toThrow(UpstreamUnavailableError)
    })
  })

  test('of another range than the one that was asked for is refused', async () => {
    const digest = registry.addBlob(content)
    registry.overrides.set(`/v2/${APP}/blobs/${digest}`, (_, response) => {
      response.writeHead(206, { 'content-range': 'bytes 1-10/200000', 'content-length': 10 })
      response.end(content.subarray(1, 11))
    })
    const { client } = connect()
    await expect(client.blob(APP, digest, { range: { start: 0, end: 10 }, signal })).rejects.toThrow(
      /and sent others/,
    )
  })

  test('that is cut short throws after the bytes that came', async () => {
    const digest = registry.addBlob(content)
    registry.overrides.set(`/v2/${APP}/blobs/${digest}`, (_, response) => {
      response.writeHead(200, { 'content-length': content.length })
      response.write(content.subarray(0, 50_000), () => response.destroy())
    })
    const { client } = connect()
    const blob = await client.blob(APP, digest, { signal })
    await expect(bytesOf(blob!.body)).rejects.toThrow(/cut after \d+ of 200000 bytes/)
  })

  test('that stands still is given up', async () => {
    const digest = registry.addBlob(content)
    registry.overrides.set(`/v2/${APP}/blobs/${digest}`, (_, response) => {
      response.writeHead(200, { 'content-length': content.length })
      response.write(content.subarray(0, 10))
    })
    const { client } = connect({ limits: { blobIdleTimeoutMs: 100 } })
    const blob = await client.blob(APP, digest, { signal })
    await expect(bytesOf(blob!.body)).rejects.toThrow(UpstreamUnavailableError)
  })

  test('that nobody wants any more lets go of its connection', async () => {
    const digest = registry.addBlob(content)
    const { client } = connect({ limits: { blobConnectionsMax: 1 } })
    const leave = new AbortController()
    const blob = await client.blob(APP, digest, { signal: leave.signal })
    leave.abort(new Error('gone'))
    await expect(bytesOf(blob!.body)).rejects.toThrow('gone')
    for await (const _ of (await client.blob(APP, digest, { signal }))!.body) break
    expect((await bytesOf((await client.blob(APP, digest, { signal }))!.body)).length).toBe(content.length)
  })

  test('that fails before anybody has read of it fails when it is read, and not before', async () => {
    const digest = registry.addBlob(content)
    const cut = Promise.withResolvers<void>()
    registry.overrides.set(`/v2/${APP}/blobs/${digest}`, (_, response) => {
      response.writeHead(200, { 'content-length': content.length })
      response.write(content.subarray(0, 10))
      cut.promise.then(() => response.destroy())
    })
    const { client } = connect()
    const blob = await client.blob(APP, digest, { signal })
    const leave = new AbortController()
    await client.blob(APP, digest, { signal: leave.signal })
    leave.abort(new Error('never read'))
    cut.resolve()
    // A whole exchange later the cut has long arrived.
    await client.manifest(APP, 'v1', { signal })
    await expect(bytesOf(blob!.body)).rejects.toThrow(UpstreamUnavailableError)
  })

  test('that is slow does not hold up manifests', async () => {
    const digest = registry.addBlob(content)
    registry.addManifest('v1')
    registry.overrides.set(`/v2/${APP}/blobs/${digest}`, (_, response) => {
      response.writeHead(200, { 'content-length': content.length })
      response.write(content.subarray(0, 10))
    })
    const { client } = connect({ limits: { blobConnectionsMax: 1 } })
    await client.blob(APP, digest, { signal })
    expect(await client.manifest(APP, 'v1', { signal })).toBeDefined()
  })
})

describe('a registry in trouble', () => {
  const path = `/v2/${APP}/manifests/v1`

  test.each([502, 503, 504])('that answers %i is asked again, twice at most', async (status) => {
    registry.addManifest('v1')
    registry.overrides.set(path, (_, response) => {
      if (registry.seen.length === 3) registry.overrides.delete(path)
      response.writeHead(status).end('not now')
    })
    const { client, pausesMs } = connect()
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(UpstreamUnavailableError)
    expect(registry.seen).toHaveLength(3)
    expect(pausesMs).toEqual([188, 375])
    expect(await client.manifest(APP, 'v1', { signal })).toBeDefined()
  })

  test('that resets a connection is asked again', async () => {
    registry.addManifest('v1')
    registry.overrides.set(path, (_, response) => {
      registry.overrides.delete(path)
      response.destroy()
    })
    const { client, pausesMs } = connect()
    expect(await client.manifest(APP, 'v1', { signal })).toBeDefined()
    expect(pausesMs).toHaveLength(1)
  })

  test('that answers 500, or not at all, is not', async () => {
    const { client } = connect({ limits: { headersTimeoutMs: 100 } })
    registry.overrides.set(path, (_, response) => void response.writeHead(500).end())
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(UpstreamUnavailableError)
    registry.overrides.set(path, () => {})
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(/HTTP_HEADERS_TIMEOUT/)
    expect(registry.seen).toHaveLength(2)
  })

  test('that drips an answer for ever has a deadline', async () => {
    registry.overrides.set(path, (_, response) => {
      const drip = () => !response.destroyed && response.write(' ', () => setImmediate(drip))
      drip()
    })
    const { client } = connect({ limits: { answerTimeoutMs: 200, manifestBytesMax: 1e12 } })
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(/no complete answer within 200 ms/)
  })

  test('that is not there', async () => {
    const gone = await startStubRegistry()
    await gone[Symbol.asyncDispose]()
    const { client, pausesMs } = stack.use(clientOf(gone))
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(/ECONNREFUSED/)
    expect(pausesMs).toHaveLength(2)
  })

  test('is left alone when whoever asked leaves, with their reason', async () => {
    registry.overrides.set(path, () => leave.abort(new Error('left')))
    const leave = new AbortController()
    const { client } = connect()
    await expect(client.manifest(APP, 'v1', { signal: leave.signal })).rejects.toThrow('left')
  })

  test('that has not answered when the time of whoever asked is up is not available', async () => {
    registry.overrides.set(path, () => {})
    const { client } = connect()
    await expect(client.manifest(APP, 'v1', { signal: AbortSignal.timeout(50) })).rejects.toThrow(
      UpstreamUnavailableError,
    )
  })

  test('is left when the client is closed', async () => {
    const { client } = connect()
    registry.overrides.set(path, () => void client.close())
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(UpstreamClosedError)
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(UpstreamClosedError)
  })
})

test('a registry has connections for blobs, and others for everything else', async () => {
  const held = { blobs: [] as ServerResponse[], manifests: [] as ServerResponse[] }
  const digest = registry.addBlob('layer')
  registry.overrides.set(`/v2/${APP}/blobs/${digest}`, (_, response) => void held.blobs.push(response))
  registry.overrides.set(`/v2/${APP}/manifests/v1`, (_, response) => void held.manifests.push(response))
  const { client } = connect({ limits: { blobConnectionsMax: 8, connectionsMax: 8 } })
  const asking = Array.from({ length: 12 }, async () => {
    const blob = await client.blob(APP, digest, { signal })
    return blob === undefined ? undefined : bytesOf(blob.body)
  })
  const looking = Array.from({ length: 12 }, () => client.manifest(APP, 'v1', { signal }))
  const counts = () => [held.blobs.length, held.manifests.length]
  await expect.poll(counts).toEqual([8, 8])
  // A ninth would have been asked before this answer came to be.
  held.blobs[0]!.writeHead(404).end()
  await asking[0]
  await expect.poll(counts).toEqual([9, 8])
  for (const which of ['blobs', 'manifests'] as const)
    for (let n = which === 'blobs' ? 1 : 0; n < 12; n++) {
      await expect.poll(() => held[which].length).toBeGreaterThan(n)
      held[which][n]!.writeHead(404).end()
    }
  expect(await Promise.all([...asking, ...looking])).toEqual(new Array(24).fill(undefined))
})

describe('a rate limit', () => {
  test('is remembered, and manifests are not asked for before it ends', async () => {
    const digest = registry.addBlob('layer')
    registry.addManifest('v1')
    const path = `/v2/${APP}/manifests/v1`
    registry.overrides.set(path, (_, response) => {
      response.writeHead(429, {
        'retry-after': '120',
        'ratelimit-limit': '100;w=21600',
        'ratelimit-remaining': '0;w=21600',
      })
      response.end()
    })
    const { client, clock, logText } = connect()
    const retryAtMs = clock.nowMs + 120_000
    const error = await client.manifest(APP, 'v1', { signal }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(UpstreamBusyError)
    expect(error).toMatchObject({ code: 'UPSTREAM_BUSY', retryAtMs })
    expect(client.rateLimit).toEqual({ remaining: 0, limit: 100, windowSeconds: 21_600, atMs: clock.nowMs })
    expect(client.busyUntilMs).toBe(retryAtMs)
    expect(logText()).toContain('upstream-busy')

    registry.overrides.delete(path)
    const askedBefore = registry.seen.length
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(UpstreamBusyError)
    await expect(client.manifestDigest(APP, 'v1', signal)).rejects.toThrow(UpstreamBusyError)
    expect(registry.seen).toHaveLength(askedBefore)
    // Blobs are not what is counted.
    expect((await bytesOf((await client.blob(APP, digest, { signal }))!.body)).toString()).toBe('layer')

    clock.nowMs = retryAtMs
    expect(await client.manifest(APP, 'v1', { signal })).toBeDefined()
    expect(client.busyUntilMs).toBeUndefined()
  })

  test('a 503 that names a time is one too', async () => {
    registry.overrides.set(`/v2/${APP}/manifests/v1`, (_, response) => {
      response.writeHead(503, { 'retry-after': '7' }).end()
    })
    const { client, pausesMs } = connect()
    await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(UpstreamBusyError)
    expect(pausesMs).toEqual([])
  })
})

describe('lists', () => {
  test('tags, page by page, whatever leads on', async () => {
    registry.overrides.set(`/v2/${APP}/tags/list`, ({ path }, response) => {
      const query = new URLSearchParams(path.split('?')[1])
      if (query.get('last') === 'opaque==') return answerJson(response, 200, { tags: ['c'] })
      const link = { link: '<https://elsewhere/steal?last=opaque%3D%3D&n=2>; rel="next"' }
      answerJson(response, 200, { tags: ['a', 'b'] }, link)
    })
    const { client } = connect()
    const first = await client.tags(APP, { tagsMax: 2 }, signal)
    expect(first).toEqual({ tags: ['a', 'b'], more: true, next: 'last=opaque%3D%3D&n=2' })
    const second = await client.tags(APP, { tagsMax: 2, next: first!.next! }, signal)
    expect(second).toEqual({ tags: ['c'], more: false })
    expect(registry.seen.map(({ path }) => path.split('?')[0])).toEqual(Array(2).fill(`/v2/${APP}/tags/list`))
  })

  test('tags behind pages without one, and over many pages', async () => {
    const pages = [['a'], null, [], ['b', 'c'], ['d']]
    registry.overrides.set(`/v2/${APP}/tags/list`, ({ path }, response) => {
      const at = Number(new URL(path, registry.url).searchParams.get('page'))
      const link = at + 1 < pages.length ? { link: `</v2/${APP}/tags/list?page=${at + 1}>; rel="next"` } : {}
      answerJson(response, 200, { tags: pages[at] }, link)
    })
    const { client } = connect()
    const first = await client.tags(APP, { tagsMax: 2 }, signal)
    expect(first).toEqual({ tags: ['a'], more: true, next: 'page=1' })
    const second = await client.tags(APP, { tagsMax: 2, next: first!.next! }, signal)
    expect(second).toEqual({ tags: ['b', 'c'], more: true, next: 'page=4' })
    expect(await client.allTags(APP, 1_000, signal)).toEqual(['a', 'b', 'c', 'd'])
    expect(await client.allTags(APP, 2, signal)).toEqual(['a', 'b'])
    expect(await client.allTags('team/none', 2, signal)).toEqual([])
  })

  test('of pages that lead in a circle ends', async () => {
    let asked = 0
    registry.overrides.set(`/v2/${APP}/tags/list`, (_, response) => {
      asked++
      answerJson(response, 200, { tags: [] }, { link: `</v2/${APP}/tags/list?page=1>; rel="next"` })
    })
    const { client } = connect()
    expect(await client.tags(APP, { tagsMax: 2 }, signal)).toMatchObject({ tags: [], more: true })
    expect(asked).toBe(64)
  })

  test('tags of a registry that sends them all, sends nonsense, or has none', async () => {
    const { client } = connect()
    const answer = (document: unknown) =>
      registry.overrides.set(`/v2/${APP}/tags/list`, (_, response) => answerJson(response, 200, document))
    answer({ tags: ['c', 'b', 'a', '../x', 7] })
    expect(await client.tags(APP, { tagsMax: 2 }, signal)).toEqual({ tags: ['a', 'b'], more: true })
    expect(await client.tags(APP, { tagsMax: 2, after: 'b' }, signal)).toEqual({ tags: ['c'], more: false })
    answer({ tags: null })
    expect(await client.tags(APP, { tagsMax: 2, after: 'c' }, signal)).toEqual({ tags: [], more: false })
    expect(registry.seen.at(-1)!.path).toContain('last=c')
    answer({ tags: 'all' })
    await expect(client.tags(APP, { tagsMax: 2 }, signal)).rejects.toThrow(UpstreamInvalidError)
    expect(await client.tags('team/none', { tagsMax: 2 }, signal)).toBeUndefined()
  })

  test('of more than eight megabytes are not read to their end', async () => {
    const { client } = connect()
    for (const path of ['tags/list', `referrers/${sha256('subject')}`])
      registry.overrides.set(`/v2/${APP}/${path}`, (_, response) => {
        response.on('error', () => {}).writeHead(200, { 'content-type': 'application/json' })
        response.end(Buffer.alloc(8 * 1024 ** 2 + 1, ' '))
      })
    const tooLong = 'longer than the 8388608 bytes'
    await expect(client.tags(APP, { tagsMax: 2 }, signal)).rejects.toThrow(tooLong)
    await expect(client.referrers(APP, sha256('subject'), {}, signal)).rejects.toThrow(tooLong)
  })

  const attached = (digest: string, artifactType: string) => ({
    mediaType: MEDIA_TYPES.ociManifest,
    digest,
    size: 3,
    artifactType,
  })

  test('referrers, filtered here where the registry does not', async () => {
    const { digest } = registry.addManifest('v1')
    const manifests = [attached(sha256('a'), 'application/sig'), attached(sha256('b'), 'application/sbom')]
    registry.overrides.set(`/v2/${APP}/referrers/${digest}`, ({ path }, response) => {
      const isSecond = path.includes('page=2')
      answerJson(
        response,
        200,
        { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [manifests[isSecond ? 1 : 0]] },
        isSecond ? {} : { link: `<${path.split('?')[0]}?page=2>; rel="next"` },
      )
    })
    const { client } = connect()
    expect(await client.referrers(APP, digest, {}, signal)).toMatchObject(manifests)
    const sboms = await client.referrers(APP, digest, { artifactType: 'application/sbom' }, signal)
    expect(sboms).toMatchObject([manifests[1]!])
  })

  test('referrers by the tag of older registries, or none', async () => {
    const { client } = connect()
    const digest = sha256('subject')
    expect(await client.referrers(APP, digest, {}, signal)).toEqual([])
    const manifests = [attached(sha256('a'), 'application/sig')]
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }),
    )
    registry.content.set(`/v2/${APP}/manifests/${digest.replace(':', '-')}`, {
      bytes,
      mediaType: MEDIA_TYPES.ociIndex,
    })
    expect(await client.referrers(APP, digest, {}, signal)).toMatchObject(manifests)
  })
})

test('a refusal without a challenge, and an answer that means nothing', async () => {
  const { client } = connect()
  const path = `/v2/${APP}/manifests/v1`
  registry.overrides.set(path, (_, response) => void response.writeHead(403).end())
  await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(UpstreamDeniedError)
  registry.overrides.set(path, (_, response) => void response.writeHead(418).end())
  await expect(client.manifest(APP, 'v1', { signal })).rejects.toThrow(UpstreamInvalidError)
})
