/**
 * Goal: every byte is read from the origin once, in few requests, and nothing wrong is ever served. Method: a real folder as
 * origin, counted; a real copy on disk; many readers at once.
 */
import { createHash, hash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Metainfo, parseDigest, pieceLengthFor } from '@shoal/core'
import { Gate } from '@shoal/registry'
import {
  readBytes as bytesOf,
  FilePieceStore,
  FilesystemObjectStore,
  MeteredObjectStore,
} from '@shoal/storage'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OriginCorruptError, OriginMissingError } from './errors.ts'
import { OriginBlob } from './origin-blob.ts'

const KEY = 'content/1'
let folder: string
let objects: MeteredObjectStore
let copies: FilePieceStore
let reads: number
let readBytes: number

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-origin-blob-'))
  reads = 0
  readBytes = 0
  objects = new MeteredObjectStore(new FilesystemObjectStore({ folder: join(folder, 'origin') }), {
    onRequest: (operation) => {
      if (operation === 'read') reads++
    },
    onReadBytes: (bytes) => {
      readBytes += bytes
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

async function open(bytes: Buffer, stored: Buffer = bytes): Promise<OriginBlob> {
  await objects.put(KEY, stored)
  const copy = await copies.open(metainfoOf(bytes))
  return new OriginBlob({
    copy,
    readContent: (range) => objects.read(KEY, { range }),
    gate: new Gate(2),
    streams: { count: 0 },
  })
}

describe('OriginBlob', () => {
  it('reads a blob once for any number of readers, and in one request where it fits a window', async () => {
    const bytes = randomBytes(3_000_000)
    const blob = await open(bytes)
    const whole = await Promise.all(Array.from({ length: 8 }, () => bytesOf(blob, 0, bytes.length)))
    for (const part of whole) expect(bytes.equals(part)).toBe(true)
    expect(readBytes).toBe(bytes.length)
    expect(reads).toBe(1)
    await bytesOf(blob, 5, 10)
    expect(reads).toBe(1)
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
    expect(readBytes).toBe(bytes.length)
  })

  it('keeps the copy for the next start', async () => {
    const bytes = randomBytes(600_000)
    await bytesOf(await open(bytes), 0, bytes.length)
    await expect.poll(() => copies.get(metainfoOf(bytes).digest)?.isComplete).toBe(true)
    await copies.stop()
    await copies.start()
    const again = await open(bytes)
    expect(bytes.equals(await bytesOf(again, 0, bytes.length))).toBe(true)
    expect(readBytes).toBe(bytes.length)
  })

  it('serves nothing of a piece that has changed in the origin, and everything before it', async () => {
    const bytes = randomBytes(600_000)
    const spoilt = Buffer.from(bytes)
    spoilt[300_000]! ^= 1
    const blob = await open(bytes, spoilt)
    await expect(bytesOf(blob, 262_144, 262_150)).rejects.toThrow(OriginCorruptError)
    expect(bytes.subarray(0, 10).equals(await bytesOf(blob, 0, 10))).toBe(true)
  })

  it('says when the origin has lost the content, or a part, and tries again when asked again', async () => {
    const bytes = randomBytes(600_000)
    const blob = await open(bytes, bytes.subarray(0, 500_000))
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
  })
})
