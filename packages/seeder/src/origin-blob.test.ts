/**
 * Goal: every byte is read from the origin once, in few requests, and nothing wrong is ever served. Method: a real folder as
 * origin, counted; a real copy on disk; many readers at once.
 */
import { createHash, hash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Metainfo, parseDigest, pieceLengthFor } from '@shoal/core'
import { Gate } from '@shoal/service'
import {
  readBytes as bytesOf,
  FilePieceStore,
  FilesystemObjectStore,
  MeteredObjectStore,
  type StoredBlob,
} from '@shoal/storage'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OriginCorruptError, OriginMissingError } from './errors.ts'
import { OriginBlob } from './origin-blob.ts'
import { PassingPieces } from './passing-pieces.ts'

const KEY = 'content/1'
let folder: string
let objects: MeteredObjectStore
let copies: FilePieceStore
/** Of one test: what another has begun and not waited for does not count. */
let counts: { reads: number; readBytes: number }

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-origin-blob-'))
  const mine = { reads: 0, readBytes: 0 }
  counts = mine
  objects = new MeteredObjectStore(new FilesystemObjectStore({ folder: join(folder, 'origin') }), {
    onRequest: (operation) => {
      if (operation === 'read') mine.reads++
    },
    onReadBytes: (bytes) => {
      mine.readBytes += bytes
    },
    onWrittenBytes: () => {},
  })
  copies = new FilePieceStore({ folder: join(folder, 'copies') })
  await objects.start()
  await copies.start()
})

afterEach(async () => {
  await copies.stop()
  await objects.stop()
  await rm(folder, { recursive: true })
})

function metainfoOf(bytes: Buffer): Metainfo {
  const pieceLength = pieceLengthFor(bytes.length)
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceLength) }, (_, i) =>
    bytes.subarray(i * pieceLength, (i + 1) * pieceLength),
  )
  return {
    digest: parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`),
    length: bytes.length,
    pieceLength,
    piecesSha1: Buffer.concat(pieces.map((piece) => hash('sha1', piece, 'buffer'))),
    piecesSha256: Buffer.concat(pieces.map((piece) => hash('sha256', piece, 'buffer'))),
  }
}

let nowMs = 0
let failures: unknown[] = []
let damages = 0

async function open(
  bytes: Buffer,
  { stored = bytes, openCopy }: { stored?: Buffer; openCopy?: () => Promise<StoredBlob> } = {},
): Promise<OriginBlob> {
  await objects.put(KEY, stored)
  failures = []
  damages = 0
  const metainfo = metainfoOf(bytes)
  return OriginBlob.open({
    metainfo,
    openCopy: openCopy ?? (() => copies.open(metainfo)),
    readContent: (range) => objects.read(KEY, { range }),
    gate: new Gate(2),
    streams: { count: 0 },
    passing: new PassingPieces(),
    nowMs: () => nowMs,
    onCopyFailed: async (error) => {
      failures.push(error)
      return false
    },
    onDamaged: () => damages++,
  })
}

describe('OriginBlob', () => {
  it('reads a blob once for any number of readers, and in one request where it fits a window', async () => {
    const bytes = randomBytes(3_000_000)
    const blob = await open(bytes)
    const whole = await Promise.all(Array.from({ length: 8 }, () => bytesOf(blob, 0, bytes.length)))
    for (const part of whole) expect(bytes.equals(part)).toBe(true)
    expect(counts.readBytes).toBe(bytes.length)
    expect(counts.reads).toBe(1)
    await bytesOf(blob, 5, 10)
    expect(counts.reads).toBe(1)
  })

  it('reads once, too, when readers begin anywhere', async () => {
    const bytes = randomBytes(3_000_000)
    const blob = await open(bytes)
    const starts = [2_900_000, 0, 1_500_000, 1_400_000, 700_000]
    const parts = await Promise.all(starts.map((start) => bytesOf(blob, start, start + 90_000)))
    for (const [i, part] of parts.entries()) {
      expect(bytes.subarray(starts[i]!, starts[i]! + 90_000).equals(part)).toBe(true)
    }
    await bytesOf(blob, 0, bytes.length)
    expect(counts.readBytes).toBe(bytes.length)
  })

  it('keeps the copy for the next start', async () => {
    const bytes = randomBytes(600_000)
    await bytesOf(await open(bytes), 0, bytes.length)
    await expect.poll(() => copies.get(metainfoOf(bytes).digest)?.isComplete).toBe(true)
    await copies.stop()
    await copies.start()
    const again = await open(bytes)
    expect(bytes.equals(await bytesOf(again, 0, bytes.length))).toBe(true)
    expect(counts.readBytes).toBe(bytes.length)
  })

  it('serves nothing of a piece that has changed in the origin, and everything before it', async () => {
    const bytes = randomBytes(600_000)
    const spoilt = Buffer.from(bytes)
    spoilt[300_000]! ^= 1
    const blob = await open(bytes, { stored: spoilt })
    await expect(bytesOf(blob, 262_144, 262_150)).rejects.toThrow(OriginCorruptError)
    expect(damages).toBe(1)
    expect(bytes.subarray(0, 10).equals(await bytesOf(blob, 0, 10))).toBe(true)
    // The window goes on, up to that piece.
    await expect.poll(() => damages).toBe(2)
  })

  it('says when the origin has lost the content, or a part, and tries again when asked again', async () => {
    const bytes = randomBytes(600_000)
    const blob = await open(bytes, { stored: bytes.subarray(0, 500_000) })
    await expect(bytesOf(blob, 599_000, 600_000)).rejects.toThrow()
    await objects.delete(KEY)
    await expect(bytesOf(blob, 599_000, 600_000)).rejects.toThrow(OriginMissingError)
    await objects.put(KEY, bytes)
    expect(bytes.subarray(599_000).equals(await bytesOf(blob, 599_000, 600_000))).toBe(true)
  })

  it('streams under back-pressure and stops with its reader', async () => {
    const bytes = randomBytes(3_000_000)
    const blob = await open(bytes)
    const stop = new AbortController()
    const reader = blob.stream({ start: 0, end: bytes.length }, stop.signal)
    expect((await reader.next()).value?.length).toBeGreaterThan(0)
    stop.abort(new Error('gone'))
    await expect(reader.next()).rejects.toThrow('gone')
    // The window that was begun is read to its end, for whoever comes next.
    await expect.poll(() => copies.get(metainfoOf(bytes).digest)?.isComplete).toBe(true)
  })
})

describe('a copy that cannot be kept', () => {
  const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  const whole = async (blob: OriginBlob, length: number) => Buffer.from(await bytesOf(blob, 0, length))

  /** A copy whose disk fails as a test says. */
  async function failing(bytes: Buffer, fails: { write?: boolean; read?: boolean }): Promise<StoredBlob> {
    const copy = await copies.open(metainfoOf(bytes))
    return new Proxy(copy, {
      get(target, name) {
        if (name === 'writePiece' && fails.write === true) return () => Promise.reject(full)
        if (name === 'readInto' && fails.read === true) return () => Promise.reject(new Error('EIO'))
        const value = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }

  it('since its disk is full: every reader has every byte, the origin is read once for those that are together', async () => {
    const bytes = randomBytes(9_000_000)
    const fails = { write: true }
    const blob = await open(bytes, { openCopy: () => failing(bytes, fails) })
    const [one, other] = await Promise.all([whole(blob, bytes.length), whole(blob, bytes.length)])
    expect(bytes.equals(one) && bytes.equals(other)).toBe(true)
    expect(counts.readBytes).toBeLessThanOrEqual(bytes.length)
    // In requests of some MiB, not one for each piece, and the disk is let alone for a while.
    expect(counts.reads).toBeLessThan(10)
    expect(failures.length).toBeLessThan(5)
    // There is room again: what is read from now on is kept.
    fails.write = false
    nowMs += 10_000
    const late = randomBytes(600_000)
    expect(late.equals(await whole(await open(late), late.length))).toBe(true)
    expect(copies.get(metainfoOf(late).digest)?.have.isFull).toBe(true)
  })

  it('since it cannot be opened', async () => {
    const bytes = randomBytes(600_000)
    const blob = await open(bytes, { openCopy: () => Promise.reject(full) })
    expect(failures).toEqual([full])
    expect(bytes.equals(await whole(blob, bytes.length))).toBe(true)
    const acrossTwo = bytes.subarray(65_530, 65_540)
    expect(acrossTwo.equals(await bytesOf(blob, 65_530, 65_540))).toBe(true)
    expect(counts.reads).toBe(1)
  })

  it('or cannot be read any more', async () => {
    const bytes = randomBytes(600_000)
    const fails = { read: false }
    const blob = await open(bytes, { openCopy: () => failing(bytes, fails) })
    await whole(blob, bytes.length)
    expect(counts.readBytes).toBe(bytes.length)
    fails.read = true
    expect(bytes.equals(await whole(blob, bytes.length))).toBe(true)
    expect(counts.readBytes).toBe(2 * bytes.length)
  })

  it('gives nothing wrong: a piece that passes through is verified', async () => {
    const bytes = randomBytes(600_000)
    const spoilt = Buffer.from(bytes)
    spoilt[300_000]! ^= 1
    const blob = await open(bytes, { stored: spoilt, openCopy: () => Promise.reject(full) })
    await expect(whole(blob, bytes.length)).rejects.toThrow(OriginCorruptError)
  })

  it('takes no more memory than it may', () => {
    const passing = new PassingPieces({ bytesMax: 100 })
    const { digest } = metainfoOf(Buffer.from('x'))
    for (let index = 0; index < 10; index++) passing.add(digest, index, new Uint8Array(30))
    expect(passing.bytes).toBe(90)
    expect([6, 7, 8, 9].map((index) => passing.get(digest, index) !== undefined)).toEqual([
      false,
      true,
      true,
      true,
    ])
  })
})
