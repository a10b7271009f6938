/**
 * Goal: clients of the seeder's registry get a blob of another registry as it comes: the header at once, each byte that is
 * here, what they wait for first; and never the whole of one that is wrong. The other registry is read once.
 * Method: mirror, fetches and arriving blobs over real folders, and a registry whose bytes come when the test says so.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UpstreamBusyError, UpstreamUnavailableError } from '@shoal/registry-client'
import type { ByteRange } from '@shoal/storage'
import type { SwarmEngine } from '@shoal/swarm'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ArrivingBlobs } from '../arriving/arriving-blobs.ts'
import { type Asked, FakeRegistry, upstreamsOf } from '../testing/fake-registry.ts'
import { type ImageOrigin, openOrigin, wholeOf } from '../testing/image-origin.ts'
import { bytesOf, imageOf } from '../testing/images.ts'
import { BlobFetches } from './blob-fetches.ts'
import { Mirror } from './mirror.ts'

const HOST = 'registry.test'
const APP = `${HOST}/team/app`
const PIECE = 64 * 1024
/** Ten pieces, the last a short one. */
const blob = patternBytes(9 * PIECE + 100)
const digest = sha256(blob)
const LAST = 9 * PIECE
const NEVER = new AbortController().signal

let folder: string
let origin: ImageOrigin
let registry: FakeRegistry
let arriving: ArrivingBlobs
let fetches: BlobFetches
let mirror: Mirror
let receivedBytes: number
let logged: { level: number; event: string }[]

/** Bytes of the blob up to here may be sent. */
let openUntil: number
let opened: PromiseWithResolvers<void>
const open = (until: number) => {
  openUntil = until
  opened.resolve()
  opened = Promise.withResolvers()
}
async function* whenOpen(bytes: Uint8Array, { range }: Asked & { kind: 'blob' }) {
  const start = range?.start ?? 0
  for (let at = 0; at < bytes.length; ) {
    // A range that does not begin at the front is let through: somebody waits for it.
    const until = isSought(range) ? bytes.length : openUntil - start
    if (until <= at) {
      await opened.promise
      continue
    }
    const end = Math.min(bytes.length, until, at + 10_000)
    yield bytes.subarray(at, end)
    at = end
  }
}
let isSought: (range: ByteRange | undefined) => boolean

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-streamed-'))
  origin = await openOrigin()
  registry = new FakeRegistry(HOST)
  registry.push('team/app', '1', imageOf('{"app":1}', blob))
  registry.body = whenOpen
  openUntil = 0
  opened = Promise.withResolvers()
  isSought = (range) => range !== undefined && range.start > openUntil
  receivedBytes = 0
  logged = []
  const log = pino({ level: 'info' }, { write: (line: string) => void logged.push(JSON.parse(line)) })
  arriving = new ArrivingBlobs({ engine: {} as SwarmEngine, log, onSent: () => {} }, { folder })
  await arriving.start()
  const { images } = origin
  fetches = new BlobFetches({
    images,
    log,
    nowMs: Date.now,
    arriving,
    onReceived: (bytes) => {
      receivedBytes += bytes
    },
  })
  mirror = new Mirror(
    {
      images,
      fetches,
      arriving,
      readContent: (...asked) => images.readContent(...asked),
      upstreams: upstreamsOf(registry),
      log,
      nowMs: Date.now,
    },
    { ownHosts: [], defaultUpstream: HOST, tagTtlMs: 60_000 },
  )
})
afterEach(async () => {
  await fetches.stop()
  await arriving.stop()
  await origin[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

const pull = () => mirror.manifest(APP, { kind: 'tag', tag: '1' }, 'pull')
const stat = (name = APP) => mirror.blobStat(name, digest, 'pull')
const warnings = () => logged.filter(({ level }) => level >= 40).map(({ event }) => event)

/** What a client was given so far. */
function read(range: Partial<ByteRange> = {}, name = APP, signal = NEVER) {
  const parts: Buffer[] = []
  const ended = (async () => {
    const { start = 0, end = blob.length } = range
    for await (const chunk of mirror.readBlob(name, digest, { start, end }, signal))
      parts.push(Buffer.from(chunk))
  })()
  ended.catch(() => {})
  return { ended, bytes: () => Buffer.concat(parts), count: () => Buffer.concat(parts).length }
}
const part = (start: number, end = blob.length) => Buffer.from(blob.subarray(start, end))
const settled = () => new Promise((resolve) => setTimeout(resolve, 20))

describe('a blob on its way', () => {
  it('is given as it comes, to many, and its last piece when the whole is right', async () => {
    await pull()
    expect(await stat()).toMatchObject({ digest, length: blob.length })
    const early = read()
    open(1_234)
    await expect.poll(early.count).toBe(1_234)
    open(LAST)
    await expect.poll(early.count).toBe(LAST)
    const readers = [
      early,
      read(),
      read({ start: PIECE - 5, end: PIECE + 5 }),
      read({ start: LAST - 7, end: LAST }),
    ]
    for (const reader of readers.slice(2)) await reader.ended
    await expect.poll(readers[1]!.count).toBe(LAST)
    open(blob.length - 1)
    await settled()
    expect(readers[1]!.count()).toBe(LAST)
    open(blob.length)
    for (const { ended } of readers) await ended
    expect(readers[0]!.bytes()).toEqual(part(0))
    expect(readers[1]!.bytes()).toEqual(part(0))
    expect(readers[2]!.bytes()).toEqual(part(PIECE - 5, PIECE + 5))
    expect(readers[3]!.bytes()).toEqual(part(LAST - 7, LAST))
    expect(receivedBytes).toBe(blob.length + bytesOf('{"app":1}').length)
    expect(registry.count('blob', digest)).toBe(1)
    expect(await wholeOf(origin.images.readBlob(APP, digest, { start: 0, end: blob.length }, NEVER))).toEqual(
      part(0),
    )
  })

  it('is the same under its short name', async () => {
    await pull()
    open(1_000)
    const reader = read({}, 'team/app')
    await expect.poll(reader.count).toBe(1_000)
    expect(await mirror.copy('team/app', digest)).toBe(await mirror.copy(APP, digest))
    open(blob.length)
    await reader.ended
  })

  it('comes no slower for a client that takes nothing, and he gets all of it in the end', async () => {
    await pull()
    open(1_000)
    const slow = mirror.readBlob(APP, digest, { start: 0, end: blob.length }, NEVER)[Symbol.asyncIterator]()
    const parts = [Buffer.from((await slow.next()).value)]
    open(blob.length)
    expect(await fetches.find(APP, digest)!.whole).toBe(true)
    for (let next = await slow.next(); next.done !== true; next = await slow.next())
      parts.push(Buffer.from(next.value))
    expect(Buffer.concat(parts)).toEqual(part(0))
  })

  it('that turns out wrong is whole at nobody’s, is warned of once, and leaves nothing', async () => {
    registry.blobs.set(`team/app@${digest}`, Buffer.concat([blob.subarray(0, -1), Buffer.from('!')]))
    await pull()
    const readers = [read(), read({ start: LAST }), read({ start: LAST - 10, end: LAST + 1 })]
    open(blob.length)
    for (const { ended } of readers) await expect(ended).rejects.toThrow()
    expect(readers[0]!.count()).toBeLessThanOrEqual(LAST)
    expect(readers[1]!.count()).toBe(0)
    expect(readers[2]!.count()).toBeLessThanOrEqual(10)
    expect(warnings()).toEqual(['arrival-failed'])
    expect(await stat()).toBeUndefined()
    await expect.poll(() => readdir(folder)).toEqual([])
    expect(origin.images.uploadCount).toBe(0)
  })

  it('that its registry refuses is none, although its manifest says how long it is', async () => {
    registry.fault = ({ kind }) => {
      if (kind === 'blob') throw new UpstreamUnavailableError(HOST, 'it is away')
    }
    await pull()
    expect(await stat()).toBeUndefined()
  })

  it('of a registry that says nothing yet has a length before that answers', async () => {
    const hold = Promise.withResolvers<void>()
    registry.fault = ({ kind }) => (kind === 'blob' ? hold.promise : undefined)
    await pull()
    expect(await stat()).toMatchObject({ digest, length: blob.length })
    const reader = read()
    open(blob.length)
    hold.resolve()
    await reader.ended
    expect(reader.bytes()).toEqual(part(0))
  })

  it('in two repositories at once comes to both', async () => {
    registry.push('other/app', '1', imageOf('{"other":1}', blob))
    await pull()
    await mirror.manifest(`${HOST}/other/app`, { kind: 'tag', tag: '1' }, 'pull')
    open(1_000)
    const readers = [read(), read({}, `${HOST}/other/app`)]
    for (const { count } of readers) await expect.poll(count).toBe(1_000)
    open(blob.length)
    for (const { ended, bytes } of readers) {
      await ended
      expect(bytes()).toEqual(part(0))
    }
  })

  it('that is pushed is given as well', async () => {
    const pushed = (await arriving.begin('mine/app', digest, blob.length))!
    expect(await stat('mine/app')).toMatchObject({ digest, length: blob.length })
    const reader = read({}, 'mine/app')
    const wrong = read({}, 'their/app')
    await pushed.append(blob.subarray(0, 100_000))
    await expect.poll(reader.count).toBe(100_000)
    await pushed.append(blob.subarray(100_000))
    await expect.poll(reader.count).toBe(LAST)
    pushed.end(true)
    await reader.ended
    expect(reader.bytes()).toEqual(part(0))
    await expect(wrong.ended).rejects.toThrow()
  })
})

describe('pieces that somebody waits for', () => {
  const asked = () =>
    registry.asked
      .filter((each): each is Asked & { kind: 'blob' } => each.kind === 'blob' && each.reference === digest)
      .map(({ range }) => range)

  it('are fetched first, and every byte once', async () => {
    await pull()
    open(1_000)
    // One byte is what an agent asks for.
    const nudge = read({ start: 6 * PIECE, end: 6 * PIECE + 1 })
    await nudge.ended
    expect(nudge.bytes()).toEqual(part(6 * PIECE, 6 * PIECE + 1))
    const lazy = read({ start: 6 * PIECE + 9, end: LAST })
    await lazy.ended
    expect(lazy.bytes()).toEqual(part(6 * PIECE + 9, LAST))
    const copy = (await mirror.copy(APP, digest))!
    expect(copy.later(9)).toMatchObject([{ first: 6 }])
    const whole = read()
    open(blob.length)
    await whole.ended
    expect(whole.bytes()).toEqual(part(0))
    expect(asked()).toEqual([undefined, { start: 6 * PIECE, end: blob.length }])
    // The first connection is cut where the other began: of what it had on its way a chunk is lost.
    const twice = receivedBytes - blob.length - bytesOf('{"app":1}').length
    expect(twice).toBeGreaterThanOrEqual(0)
    expect(twice).toBeLessThanOrEqual(10_000)
  })

  it('are fetched by two connections beside the first at most', async () => {
    await pull()
    open(1_000)
    isSought = () => false
    const readers = [2, 4, 6, 8].map((index) => read({ start: index * PIECE, end: index * PIECE + 10 }))
    await expect.poll(() => asked().length).toBe(3)
    await settled()
    expect(asked()).toHaveLength(3)
    open(blob.length)
    for (const { ended } of readers) await ended
    expect(await fetches.find(APP, digest)?.whole).not.toBe(false)
  })

  it('come in their turn where the registry gives no ranges', async () => {
    registry.givesRanges = false
    await pull()
    open(1_000)
    const reader = read({ start: 6 * PIECE, end: 6 * PIECE + 1 })
    await expect.poll(() => asked().length).toBe(2)
    await settled()
    expect(reader.count()).toBe(0)
    const other = read({ start: 3 * PIECE, end: 4 * PIECE })
    open(blob.length)
    await reader.ended
    await other.ended
    await fetches.find(APP, digest)?.whole
    expect(asked()).toHaveLength(2)
    expect(receivedBytes).toBe(blob.length + bytesOf('{"app":1}').length)
  })

  it('come in their turn where their connection breaks', async () => {
    registry.fault = (each) => {
      if (each.kind === 'blob' && each.range !== undefined) throw new UpstreamUnavailableError(HOST, 'cut')
    }
    await pull()
    open(1_000)
    const reader = read({ start: 6 * PIECE, end: 6 * PIECE + 1 })
    await expect.poll(() => asked().length).toBeGreaterThan(1)
    open(blob.length)
    await reader.ended
    expect(asked().length).toBeLessThanOrEqual(4)
  })
})

describe('what cannot be kept while it arrives', () => {
  it('goes to the origin all the same, and is given when it is whole', async () => {
    await rm(folder, { recursive: true })
    await pull()
    expect(await stat()).toMatchObject({ length: blob.length })
    const reader = read()
    open(blob.length)
    await reader.ended
    expect(reader.bytes()).toEqual(part(0))
    expect(warnings()).toEqual(['copy-lost'])
  })

  it('because a manifest is wrong about its length, too', async () => {
    open(blob.length)
    const arrival = fetches.begin(registry.repository('team/app'), digest, blob.length + 77)
    expect(await arrival.whole).toBe(true)
    expect(warnings()).toEqual(['manifest-wrong'])
    expect(await stat()).toEqual({ digest, length: blob.length })
  })
})

describe('a registry that wants to be left alone', () => {
  const busyFor = (ms: number, isMeant: (range: ByteRange | undefined) => boolean, times = 99) => {
    registry.fault = (asked) => {
      if (asked.kind === 'blob' && isMeant(asked.range) && times-- > 0)
        throw new UpstreamBusyError(HOST, Date.now() + ms)
    }
  }

  it('for moments, in the middle of a blob, is asked again then', async () => {
    busyFor(50, (range) => range !== undefined, 4)
    registry.body = async function* (bytes, { range }) {
      yield range === undefined ? bytes.subarray(0, 100_000) : bytes
      if (range === undefined) throw new UpstreamUnavailableError(HOST, 'cut')
    }
    await pull()
    const reader = read()
    await reader.ended
    expect(reader.bytes()).toEqual(part(0))
    expect(warnings()).toEqual([])
  })

  it('before the first byte gives nothing now: clients are told at once, and it is left alone', async () => {
    busyFor(60_000, () => true)
    await pull()
    expect(await stat()).toBeUndefined()
    expect(await stat()).toBeUndefined()
    expect(registry.count('blob', digest)).toBe(1)
  })
})
