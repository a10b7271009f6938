/**
 * Goal: a blob of another registry comes once for everybody, goes on where it broke, and leaves nothing behind that is not
 * the blob.
 * Method: fetches over a folder, which is looked at key by key, and a registry that does what the test says.
 */
import { createHash } from 'node:crypto'
import { parseDigest } from '@shoal/core'
import { OciError } from '@shoal/oci'
import { UpstreamInvalidError, UpstreamUnavailableError } from '@shoal/registry-client'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Asked, FakeRegistry, inChunks } from '../testing/fake-registry.ts'
import { type ImageOrigin, openOrigin, silent, wholeOf } from '../testing/image-origin.ts'
import { BlobFetches } from './blob-fetches.ts'

const HOST = 'registry.test'
const blob = patternBytes(10_000)
const digest = sha256(blob)
const NEVER = new AbortController().signal

let origin: ImageOrigin
let registry: FakeRegistry
let fetches: BlobFetches
let receivedBytes: number

beforeEach(async () => {
  origin = await openOrigin()
  registry = new FakeRegistry(HOST)
  registry.blobs.set(`team/app@${digest}`, blob)
  receivedBytes = 0
  fetches = new BlobFetches({
    images: origin.images,
    log: silent,
    nowMs: () => Date.now(),
    arriving: { begin: async () => undefined },
    onReceived: (bytes) => {
      receivedBytes += bytes
    },
  })
})
afterEach(async () => {
  await fetches.stop()
  await origin[Symbol.asyncDispose]()
})

const from = () => registry.repository('team/app')
const unavailable = (isPassing = true) => new UpstreamUnavailableError(HOST, 'cut', { isPassing })
const ranges = () => registry.asked.map((asked) => (asked as Asked & { kind: 'blob' }).range)
const stored = async (name = `${HOST}/team/app`) =>
  wholeOf(origin.images.readBlob(name, digest, { start: 0, end: blob.length }, NEVER))

/** Sends so many bytes of what was asked for, then breaks. */
async function* cutAfter(bytes: Uint8Array, count: number): AsyncGenerator<Uint8Array> {
  yield* inChunks(bytes.subarray(0, count))
  throw unavailable(false)
}

describe('a blob', () => {
  it('is fetched once, however many want it, and counted once', async () => {
    const begun = Array.from({ length: 20 }, () => fetches.begin(from(), digest, blob.length))
    expect(new Set(begun).size).toBe(1)
    expect(fetches.find(`${HOST}/team/app`, digest)).toBe(begun[0])
    expect(fetches.count).toBe(1)
    expect(await Promise.all(begun.map(({ whole }) => whole))).not.toContain(false)
    expect(registry.count('blob')).toBe(1)
    expect(receivedBytes).toBe(blob.length)
    expect(await stored()).toEqual(Buffer.from(blob))
  })

  it('is not under way any more when it is here, and is not asked for again', async () => {
    await fetches.begin(from(), digest).whole
    await fetches.stop()
    expect(fetches.count).toBe(0)
    expect(fetches.find(`${HOST}/team/app`, digest)).toBeUndefined()
  })

  it('that is here already needs nobody', async () => {
    await fetches.begin(from(), digest).whole
    const again = fetches.begin(from(), digest)
    expect([await again.whole, await again.known]).toEqual([true, blob.length])
    expect(registry.count('blob')).toBe(1)
  })

  it('has a length as soon as its manifest or its registry says it', async () => {
    const hold = Promise.withResolvers<void>()
    registry.fault = () => hold.promise
    const other = patternBytes(500, 2)
    registry.blobs.set(`team/app@${sha256(other)}`, other)
    const told = fetches.begin(from(), digest, blob.length)
    const untold = fetches.begin(from(), sha256(other))
    expect(await told.known).toBe(blob.length)
    expect(untold.length).toBeUndefined()
    hold.resolve()
    expect(await untold.known).toBe(500)
    expect(await untold.whole).toBe(true)
  })

  it('that the registry does not have is no error, and leaves nothing', async () => {
    const missing = fetches.begin(from(), sha256('nobody has it'))
    expect(await missing.whole).toBe(false)
    expect(await missing.known).toBeUndefined()
    expect(await origin.keys()).toEqual([])
  })

  it('of sha512 and one of no bytes at all arrive as well', async () => {
    const empty = sha256('')
    registry.blobs.set(`team/app@${empty}`, new Uint8Array())
    expect(await fetches.begin(from(), empty, 0).whole).toBe(true)
    expect(await origin.images.blobStat(`${HOST}/team/app`, empty, 'pull')).toEqual({
      digest: empty,
      length: 0,
    })
    const long = parseDigest(`sha512:${createHash('sha512').update(blob).digest('hex')}`)
    registry.blobs.set(`team/app@${long}`, blob)
    expect(await fetches.begin(from(), long).whole).toBe(true)
    expect((await origin.images.metainfo(long))?.metainfo.digest).toBe(long)
  })
})

describe('a connection that breaks', () => {
  it('goes on where it was, whatever length the manifest said', async () => {
    registry.body = (bytes, { range }) => (range === undefined ? cutAfter(bytes, 3_000) : inChunks(bytes))
    expect(await fetches.begin(from(), digest, blob.length + 77).whole).toBe(true)
    expect(ranges()).toEqual([undefined, { start: 3_000, end: 10_000 }])
    expect(await stored()).toEqual(Buffer.from(blob))
  })

  it('costs nothing of what was received: the next asks for the rest', async () => {
    registry.body = (bytes, { range }) =>
      range === undefined
        ? cutAfter(bytes, 3_000)
        : range.start === 3_000
          ? cutAfter(bytes, 4_000)
          : inChunks(bytes)
    expect(await fetches.begin(from(), digest).whole).toBe(true)
    expect(ranges()).toEqual([undefined, { start: 3_000, end: 10_000 }, { start: 7_000, end: 10_000 }])
    expect(receivedBytes).toBe(blob.length)
    expect(await stored()).toEqual(Buffer.from(blob))
  })

  it('is borne five times and no more; then nothing is kept, and the next may begin anew', async () => {
    registry.body = (bytes) => cutAfter(bytes, 1_000)
    await expect(fetches.begin(from(), digest).whole).rejects.toThrow(UpstreamUnavailableError)
    expect(ranges().map((range) => range?.start ?? 0)).toEqual([0, 1_000, 2_000, 3_000, 4_000])
    expect(await origin.keys()).toEqual([])
    expect(origin.images.uploadCount).toBe(0)
    registry.body = inChunks
    expect(await fetches.begin(from(), digest).whole).toBe(true)
  })

  it('before the first byte is tried again where that can help, and otherwise not', async () => {
    let failures = 2
    registry.fault = () => {
      if (failures-- > 0) throw unavailable(true)
    }
    expect(await fetches.begin(from(), digest).whole).toBe(true)
    expect(ranges()).toEqual([undefined, undefined, undefined])
    registry.asked.length = 0
    registry.fault = () => {
      throw unavailable(false)
    }
    await expect(fetches.begin(from(), sha256('other')).whole).rejects.toThrow(UpstreamUnavailableError)
    expect(registry.asked).toHaveLength(1)
  })
})

describe('wrong bytes', () => {
  it.each([
    ['others of the same length', () => inChunks(patternBytes(blob.length, 7))],
    ['fewer', () => inChunks(blob.subarray(0, 9_999))],
    ['more', () => inChunks(Buffer.concat([blob, Buffer.from('!')]))],
  ])('%s are not kept, and it is said whose fault it is', async (_what, body) => {
    registry.body = body
    const error: unknown = await fetches.begin(from(), digest, blob.length).whole.catch((thrown) => thrown)
    expect(error).toBeInstanceOf(UpstreamInvalidError)
    expect(error).toMatchObject({ code: 'UPSTREAM_INVALID', upstream: HOST })
    expect((error as Error).cause).toBeInstanceOf(OciError)
    expect(await origin.keys()).toEqual([])
    expect(origin.images.uploadCount).toBe(0)
  })

  it('after a cut are as wrong', async () => {
    registry.body = (bytes, { range }) =>
      range === undefined ? cutAfter(bytes, 5_000) : inChunks(patternBytes(5_000, 9))
    await expect(fetches.begin(from(), digest).whole).rejects.toThrow(UpstreamInvalidError)
    expect(await origin.keys()).toEqual([])
  })
})

describe('stop', () => {
  it('in the middle of a blob leaves nothing of it, and begins nothing that waits', async () => {
    const begun = Promise.withResolvers<void>()
    registry.body = async function* (bytes) {
      yield bytes.subarray(0, 1_000)
      begun.resolve()
      await new Promise(() => {})
    }
    const others = Array.from({ length: 10 }, (_, n) => patternBytes(2_000, 100 + n))
    for (const bytes of others) registry.blobs.set(`team/app@${sha256(bytes)}`, bytes)
    const all = [digest, ...others.map(sha256)].map((each) => fetches.begin(from(), each))
    await begun.promise
    await fetches.stop()
    for (const { whole } of all) await expect(whole).rejects.toThrow('the seeder stops')
    expect(fetches.count).toBe(0)
    expect(registry.asked.length).toBeLessThanOrEqual(8)
    expect(await origin.keys()).toEqual([])
    expect(origin.images.uploadCount).toBe(0)
  })
})

describe('bytes that another repository has', () => {
  beforeEach(() => origin.pushBlob('private/app', blob))

  it('do not come again, once the registry has shown that it has them', async () => {
    const arrival = fetches.begin(from(), digest)
    expect(await arrival.whole).toBe(true)
    const [range] = ranges()
    expect(range!.end - range!.start).toBe(1_024)
    expect([arrival.length, arrival.receivedBytes, receivedBytes]).toEqual([blob.length, 0, 0])
    expect(await stored()).toEqual(Buffer.from(blob))
  })

  it('are nobody’s whose registry does not have them', async () => {
    registry.blobs.clear()
    expect(await fetches.begin(from(), digest, blob.length).whole).toBe(false)
    expect(await origin.images.blobStat(`${HOST}/team/app`, digest, 'pull')).toBeUndefined()
  })

  it.each([
    ['something shorter', patternBytes(400)],
    ['as many other bytes', patternBytes(blob.length, 9)],
  ])('are nobody’s whose registry has %s under the digest', async (_what, other) => {
    registry.blobs.set(`team/app@${digest}`, other)
    await expect(fetches.begin(from(), digest, blob.length).whole).rejects.toThrow(UpstreamInvalidError)
    expect(await origin.images.blobStat(`${HOST}/team/app`, digest, 'pull')).toBeUndefined()
    // What was there before is as it was.
    expect(await stored('private/app')).toEqual(Buffer.from(blob))
  })
})

it('eight are fetched at a time, the others in their turn', async () => {
  const contents = Array.from({ length: 20 }, (_, n) => patternBytes(300, 50 + n))
  for (const bytes of contents) registry.blobs.set(`team/app@${sha256(bytes)}`, bytes)
  const holds: (() => void)[] = []
  let atOnce = 0
  let atOnceMax = 0
  const eight = Promise.withResolvers<void>()
  registry.fault = async () => {
    atOnceMax = Math.max(atOnceMax, ++atOnce)
    if (atOnce === 8) eight.resolve()
    await new Promise<void>((resolve) => holds.push(resolve))
    atOnce--
  }
  const all = contents.map((bytes) => fetches.begin(from(), sha256(bytes)))
  await eight.promise
  expect(fetches.count).toBe(20)
  expect(registry.asked).toHaveLength(8)
  registry.fault = () => {}
  for (const go of holds) go()
  expect(await Promise.all(all.map(({ whole }) => whole))).not.toContain(false)
  expect(atOnceMax).toBe(8)
  expect(registry.asked).toHaveLength(20)
})
