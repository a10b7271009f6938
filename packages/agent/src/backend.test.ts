/**
 * Goal: what an agent cannot give is a 404 as long as nothing was given, and a cut body afterwards; a blob on its way without a
 * swarm comes from the seeder, and from here as soon as it can be had here.
 * Method: sources that give what the test has them give.
 */
import { parseDigest } from '@shoal/core'
import { TransferFailedError } from '@shoal/swarm'
import { beforeEach, describe, expect, it } from 'vitest'
import type { ArrivingPulls } from './arriving-pulls.ts'
import { createBackend } from './backend.ts'
import type { Downloads } from './downloads.ts'
import { CacheDiskFullError, SourceUnavailableError, UnobtainableError } from './errors.ts'
import type { ImageDirectory } from './image-directory.ts'
import { createMetrics } from './metrics.ts'
import type { ReferrerLists } from './referrer-lists.ts'
import type { TagLists } from './tag-lists.ts'

const digest = parseDigest(`sha256:${'1'.repeat(64)}`)
const NAME = 'registry.test/team/app'
const bytes = Buffer.from('twenty bytes of blob')
const away = new SourceUnavailableError('the seeder', 'status 404 for a range')
const NEVER = new AbortController().signal

/** What a transfer gives, and how it ends. */
const transferOf = (given: Buffer, failure?: Error) => ({
  async *read(start: number, end: number) {
    for (let at = start; at < Math.min(end, given.length); at += 4)
      yield given.subarray(at, Math.min(at + 4, end))
    if (failure !== undefined) throw failure
  },
})
type GivenTransfer = ReturnType<typeof transferOf>

let found: unknown
let arrived: unknown
let fromSeeder: (start: number) => AsyncGenerator<Uint8Array>
let download: GivenTransfer
let begun: GivenTransfer | undefined
let warmed: number
/** What the seeder says of the blob's length; a swarm needs more than a piece. */
let arrivingBytes: number
/** Resolves when the blob is in a swarm that is read here, if it ever is. */
let beginning: Promise<GivenTransfer | undefined> | undefined
let passed: (start: number) => AsyncGenerator<Uint8Array>

function backend() {
  const directory = {
    locate: async () => found,
    source: async () => arrived,
    length: async () => (found === 'unknown' || found === undefined ? found : arrivingBytes),
    remembers: async () => false,
    unobtainable: (what: string) => new UnobtainableError(what, 'the seeder is away'),
    arrivingLength: () => (found === 'arriving' ? arrivingBytes : undefined),
    hasBlob: () => true,
    warmBlob: () => warmed++,
    requireBlob: async () => {},
    knownSource: () => arrived,
  }
  const downloads = { find: () => undefined, whole: () => undefined, ensure: async () => download }
  const arrivals = {
    find: async (_digest: unknown, withinMs = 0) => (withinMs > 0 ? beginning : begun),
    has: () => begun !== undefined,
  }
  return createBackend({
    directory: directory as unknown as ImageDirectory,
    downloads: downloads as unknown as Downloads,
    arrivals: arrivals as unknown as ArrivingPulls,
    http: { arrivingBytes: (_url, { start }) => fromSeeder(start) as AsyncGenerator<Uint8Array, void> },
    passing: { read: (_source, range) => passed(range.start) as AsyncGenerator<Uint8Array, void> },
    seederUrl: 'http://seeder:7000',
    tagLists: {} as TagLists,
    referrerLists: {} as ReferrerLists,
    metrics: createMetrics(),
  })
}

beforeEach(() => {
  found = { metainfo: { digest, length: bytes.length } }
  arrived = found
  download = transferOf(bytes)
  begun = undefined
  warmed = 0
  // Of several pieces, for all that is said.
  arrivingBytes = 300_000
  beginning = undefined
  fromSeeder = async function* (start) {
    for (let at = start; at < bytes.length; at += 2) yield bytes.subarray(at, at + 2)
  }
  passed = async function* () {}
})

async function read(start = 0, end = bytes.length) {
  const given: Buffer[] = []
  try {
    for await (const chunk of backend().readBlob(NAME, digest, { start, end }, NEVER))
      given.push(Buffer.from(chunk))
  } catch (error) {
    const { code, status, message } = error as Error & { code: string; status?: number }
    return { text: Buffer.concat(given).toString(), error: status ?? code, message }
  }
  return { text: Buffer.concat(given).toString(), error: undefined }
}

describe('a blob that cannot be had', () => {
  it.each([
    ['the seeder says that there is none', () => (found = 'unknown')],
    ['nobody can say', () => (found = undefined)],
    [
      'no source gives a byte',
      () => (download = transferOf(Buffer.alloc(0), new TransferFailedError(digest, 'x'))),
    ],
    [
      'it does not arrive at the seeder',
      () => {
        found = 'arriving'
        arrived = 'unknown'
        // biome-ignore lint/correctness/useYield: it fails before it gives anything
        fromSeeder = async function* () {
          throw away
        }
      },
    ],
  ])('because %s is a 404 that says so', async (_why, happens) => {
    happens()
    expect(await read()).toMatchObject({
      text: '',
      error: 404,
      message: expect.stringContaining('cannot be had here'),
    })
  })

  it('has no length either, and why', async () => {
    found = 'unknown'
    expect(await backend().blobStat(NAME, digest, 'pull', NEVER)).toBeUndefined()
    found = undefined
    await expect(backend().blobStat(NAME, digest, 'pull', NEVER)).rejects.toMatchObject({
      code: 'BLOB_UNKNOWN',
      status: 404,
      message: expect.stringContaining('the seeder is away'),
    })
  })

  it('is cut after its first byte', async () => {
    download = transferOf(bytes.subarray(0, 4), new TransferFailedError(digest, 'no source'))
    expect(await read()).toMatchObject({ text: 'twen', error: 'SWARM_TRANSFER_FAILED' })
  })

  it('because of a fault of our own is no 404', async () => {
    download = transferOf(Buffer.alloc(0), new TypeError('a bug'))
    expect((await read()).message).toBe('a bug')
  })
})

describe('a blob that is on its way to the seeder', () => {
  beforeEach(() => {
    found = 'arriving'
  })

  it('is said to be, so that its header does not wait for a byte', async () => {
    expect(await backend().blobStat(NAME, digest, 'pull', NEVER)).toEqual({
      digest,
      length: arrivingBytes,
      isArriving: true,
    })
  })

  it('comes from the seeder where it has no swarm, and is wanted here as well', async () => {
    expect(await read(2, 10)).toMatchObject({ error: undefined })
    expect((await read()).text).toBe(bytes.toString())
    expect(warmed).toBe(2)
  })

  it('is given as soon as it has arrived: a fast registry has given it before there is a swarm', async () => {
    beginning = new Promise(() => {})
    fromSeeder = async function* () {
      yield* []
      throw new Error('it is here')
    }
    expect(await read()).toEqual({ text: bytes.toString(), error: undefined })
    arrived = 'unknown'
    beginning = Promise.resolve(download)
    expect(await read()).toEqual({ text: bytes.toString(), error: undefined })
  })

  it('of one piece is not fetched twice: it is given when it has arrived, and kept', async () => {
    arrivingBytes = bytes.length
    let isSeederAsked = false
    fromSeeder = (start) => {
      isSeederAsked = true
      return transferOf(bytes).read(start, bytes.length)
    }
    expect(await read()).toEqual({ text: bytes.toString(), error: undefined })
    expect(isSeederAsked).toBe(false)
  })

  it('goes on from here as soon as it comes here too', async () => {
    fromSeeder = async function* (start) {
      yield bytes.subarray(start, start + 6)
      begun = transferOf(bytes)
      yield bytes.subarray(start + 6, start + 8)
      throw new Error('nobody reads on')
    }
    expect(await read()).toEqual({ text: bytes.toString(), error: undefined })
  })

  it('goes on when it has arrived where the seeder is of an earlier version, or breaks off', async () => {
    fromSeeder = async function* (start) {
      yield bytes.subarray(start, start + 6)
      throw away
    }
    expect(await read()).toEqual({ text: bytes.toString(), error: undefined })
  })

  it('and turns out wrong is cut before its end', async () => {
    fromSeeder = async function* (start) {
      yield bytes.subarray(start, bytes.length - 1)
      throw away
    }
    arrived = 'unknown'
    expect(await read()).toMatchObject({ text: bytes.toString().slice(0, -1), error: 'AGENT_BLOB_UNKNOWN' })
  })

  it('passes through, from where it is, when it is whole and finds no room here', async () => {
    const full = new CacheDiskFullError(digest)
    fromSeeder = async function* (start) {
      yield bytes.subarray(start, start + 6)
      throw full
    }
    passed = async function* (start) {
      yield bytes.subarray(start)
    }
    expect(await read()).toEqual({ text: bytes.toString(), error: undefined })
  })
})
