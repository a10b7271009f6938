/**
 * Goal: bodies move at the pace of the slower side, end whole or cut, and stop when the client leaves.
 * Method: backends that count what is asked of them, and clients that read slowly, leave early or fall silent.
 */
import { connect } from 'node:net'
import type { BlobStat } from '@shoal/oci'
import type { ByteRange } from '@shoal/storage'
import { sha256 } from '@shoal/testing/content'
import { afterEach, describe, expect, test } from 'vitest'
import type { RegistryBackend, RegistryPush } from './backend.ts'
import { eventually, openAndSend, rawExchange } from './testing/raw-http.ts'
import { type RegistryServer, type RegistryServerInit, startRegistry } from './testing/registry-server.ts'

const MIB = 1024 * 1024
const digest = sha256('any')
const path = `/v2/app/blobs/${digest}`
const request = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`

let registry: RegistryServer | undefined
afterEach(() => registry?.close())

type ReadBlob = (range: ByteRange, signal: AbortSignal) => AsyncIterable<Uint8Array>

async function serve(
  length: number,
  readBlob: ReadBlob,
  plugin: RegistryServerInit['plugin'] = {},
  stat: Partial<BlobStat> = {},
) {
  const backend: RegistryBackend = {
    tags: async () => undefined,
    hasRepository: async () => true,
    referrers: async () => ({ referrers: [] }),
    manifest: async () => undefined,
    blobStat: async () => ({ digest, length, ...stat }),
    readBlob: (_repository, _digest, range, signal) => readBlob(range, signal),
  }
  registry = await startRegistry({ backend: () => backend, plugin })
  return registry
}

async function* chunks(count: number, bytes = MIB, onChunk: () => void = () => {}) {
  for (let index = 0; index < count; index++) {
    onChunk()
    yield new Uint8Array(bytes)
  }
}

describe('a GET', () => {
  test('asks the backend for no more than the client takes', async () => {
    let asked = 0
    const { port } = await serve(1024 * MIB, () => chunks(1024, MIB, () => asked++))
    const socket = connect(port, '127.0.0.1')
    socket.pause()
    socket.write(request)
    await eventually(() => asked > 0)
    let before = -1
    // Quiet for a while: the buffers between here and there are full.
    while (before !== asked) {
      before = asked
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(asked).toBeLessThan(32)
    socket.destroy()
  })

  test('tells the backend when the client leaves', async () => {
    let signal: AbortSignal | undefined
    let isReturned = false
    const { port } = await serve(1024 * MIB, async function* (_, given) {
      signal = given
      try {
        yield* chunks(1024)
      } finally {
        isReturned = true
      }
    })
    const socket = await openAndSend(port, request)
    await new Promise((resolve) => socket.once('data', resolve))
    expect(signal?.aborted).toBe(false)
    socket.destroy()
    await eventually(() => signal?.aborted === true && isReturned)
  })

  test('tells a backend that has not given anything yet, too', async () => {
    let isAsked = false
    let isAborted = false
    const { port } = await serve(MIB, async function* (_, signal) {
      isAsked = true
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      isAborted = true
      yield new Uint8Array(MIB)
    })
    const socket = await openAndSend(port, request)
    await eventually(() => isAsked)
    socket.destroy()
    await eventually(() => isAborted)
  })

  test('a failure before the first byte is an error answer', async () => {
    // biome-ignore lint/correctness/useYield: it fails before it gives anything
    const { url } = await serve(MIB, async function* () {
      throw new Error('no peer has it')
    })
    const answer = await fetch(url + path)
    expect(answer.status).toBe(500)
    expect(answer.headers.get('content-type')).toMatch(/json/)
    expect(answer.headers.has('etag')).toBe(false)
    expect(await answer.text()).toContain('UNKNOWN')
  })

  test.each([
    [
      'fails',
      async function* () {
        yield new Uint8Array(MIB)
        throw new Error('every peer left')
      },
    ],
    ['ends early', () => chunks(2)],
    ['gives too much', () => chunks(3, 1.5 * MIB)],
  ] as [string, ReadBlob][])(
    'a backend that %s after the first byte: the connection is cut',
    async (_, readBlob) => {
      const { url, port } = await serve(4 * MIB, readBlob)
      const answer = await fetch(url + path)
      expect(answer.status).toBe(200)
      await expect(answer.arrayBuffer()).rejects.toThrow()
      const raw = await rawExchange(port, request + request)
      expect(raw.length).toBeLessThanOrEqual(4 * MIB + 1_000)
      expect(raw.match(/HTTP\/1\.1/g)).toHaveLength(1)
    },
  )

  test('of a blob on its way: the header comes before the first byte, and the connection is cut when none comes', async () => {
    for (const outcome of ['comes', 'does not']) {
      const byte = Promise.withResolvers<Uint8Array>()
      const { url } = await serve(
        1,
        async function* () {
          yield await byte.promise
        },
        {},
        { isArriving: true },
      )
      const answer = await fetch(url + path)
      expect([answer.status, answer.headers.get('content-length')]).toEqual([200, '1'])
      if (outcome === 'comes') byte.resolve(Uint8Array.of(7))
      else byte.reject(new Error('it was not what it should be'))
      if (outcome === 'comes') expect(new Uint8Array(await answer.arrayBuffer())).toEqual(Uint8Array.of(7))
      else await expect(answer.arrayBuffer()).rejects.toThrow()
      await registry?.close()
    }
  })

  test('a client that takes nothing is given up', async () => {
    let isReturned = false
    const { port } = await serve(
      1024 * MIB,
      async function* () {
        try {
          yield* chunks(1024)
        } finally {
          isReturned = true
        }
      },
      { idleTimeoutMs: 100 },
    )
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.pause()
    socket.write(request)
    await eventually(() => isReturned)
    socket.destroy()
  })

  test('the next request on the connection is served', async () => {
    const { port } = await serve(MIB, () => chunks(1))
    const answer = await rawExchange(
      port,
      request + request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'),
    )
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(2)
  })
})

describe('an upload', () => {
  test('reads from the socket no more than the backend takes', async () => {
    let taken = 0
    let release: () => void = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const push: Partial<RegistryPush> = {
      startUpload: async () => ({ id: 'id', received: 0 }),
      cancelUpload: async () => true,
      appendUpload: async (_repository, id, body) => {
        for await (const part of body) {
          taken += part.length
          await held
        }
        return { id, received: taken }
      },
      finishUpload: async () => ({ digest, length: taken }),
    }
    registry = await startRegistry({
      backend: (images) => ({
        tags: images.tags.bind(images),
        hasRepository: images.hasRepository.bind(images),
        manifest: images.manifest.bind(images),
        referrers: images.referrers.bind(images),
        blobStat: images.blobStat.bind(images),
        readBlob: images.readBlob.bind(images),
        push: push as RegistryPush,
      }),
    })
    const length = 64 * MIB
    const socket = connect(registry.port, '127.0.0.1')
    socket.write(
      `POST /v2/app/blobs/uploads/?digest=${digest} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`,
    )
    const isFlushed = new Promise<void>((resolve) => socket.write(new Uint8Array(length), () => resolve()))
    await eventually(() => taken > 0)
    const first = await Promise.race([
      isFlushed.then(() => 'sent'),
      new Promise((r) => setTimeout(r, 300, 'held')),
    ])
    expect(first).toBe('held')
    expect(taken).toBeLessThan(MIB)
    release()
    await isFlushed
    await eventually(() => taken === length)
    socket.destroy()
  })
})
