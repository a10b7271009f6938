/**
 * Goal: a piece counts only once it is on disk and verified, whatever happens to the process. Method: stores opened again
 * on the same folder, without a stop, with files changed in between.
 */
import { createHash, hash, randomBytes } from 'node:crypto'
import { mkdtemp, open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestHex, type Metainfo, parseDigest, pieceBytes, pieceCount, pieceLengthFor } from '@shoal/core'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { BlobDigestMismatchError, BlobRemovedError } from './errors.ts'
import { FilePieceStore } from './file-piece-store.ts'
import { readBytes, type StoredBlob } from './piece-store.ts'

let folder: string
const opened: FilePieceStore[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-pieces-'))
})
afterEach(async () => {
  for (const store of opened.splice(0)) await store.stop()
  await rm(folder, { recursive: true })
})

/** A new process on the same folder: the old store is not stopped. */
async function start(): Promise<FilePieceStore> {
  const store = new FilePieceStore({ folder })
  await store.start()
  opened.push(store)
  return store
}

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

const bytes = randomBytes(1_100_000)
const metainfo = metainfoOf(bytes)
const all = [...Array(pieceCount(metainfo)).keys()]
const pieceOf = (index: number) =>
  bytes.subarray(index * metainfo.pieceLength, index * metainfo.pieceLength + pieceBytes(metainfo, index))

async function write(blob: StoredBlob, indexes: readonly number[]): Promise<void> {
  await Promise.all(indexes.map((index) => blob.writePiece(index, [pieceOf(index)])))
  await described(blob)
}

/** What a killed process leaves counts from here on: the blob is described on disk. */
async function described({ metainfo: { digest } }: StoredBlob): Promise<void> {
  const path = join(folder, 'metainfo', `sha256-${digestHex(digest)}`)
  await vi.waitFor(async () => expect(await stat(path)).toBeDefined())
}

const partialFile = () => join(folder, 'partial', `sha256-${digestHex(metainfo.digest)}`)

describe('FilePieceStore', () => {
  it('leaves nothing half written where what a blob should be cannot be kept', async () => {
    const store = await start()
    await rm(join(folder, 'metainfo'), { recursive: true })
    await writeFile(join(folder, 'metainfo'), 'no folder')
    const blob = await store.open(metainfo)
    for (const index of all) await blob.writePiece(index, [pieceOf(index)])
    await expect(blob.complete()).rejects.toThrow()
    expect(await readdir(join(folder, 'staging'))).toEqual([])
  })

  it('fills a blob in any order, and reads across pieces', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(all, { minLength: all.length }),
        fc.nat({ max: bytes.length }),
        fc.nat({ max: bytes.length }),
        async (order, a, b) => {
          const store = await start()
          const blob = await store.open(metainfo)
          for (const index of order) await blob.writePiece(index, [pieceOf(index)])
          const [from, to] = a < b ? [a, b] : [b, a]
          expect(bytes.subarray(from, to).equals(await readBytes(blob, from, to))).toBe(true)
          await blob.complete()
          expect(bytes.subarray(from, to).equals(await readBytes(blob, from, to))).toBe(true)
          await store.remove(metainfo.digest)
        },
      ),
      { numRuns: 8 },
    )
  })

  it('opens a blob once, however many ask at the same time', async () => {
    const store = await start()
    const blobs = await Promise.all([store.open(metainfo), store.open(metainfo), store.open(metainfo)])
    expect(new Set(blobs).size).toBe(1)
    expect(store.get(metainfo.digest)).toBe(blobs[0])
    expect(store.blobs()).toEqual([blobs[0]])
  })

  it('has the pieces that were written when the process was killed, and no others', async () => {
    await write(await (await start()).open(metainfo), [0, 3])
    const found = (await start()).get(metainfo.digest)
    expect(found?.metainfo).toEqual(metainfo)
    expect(all.filter((index) => found?.have.has(index))).toEqual([0, 3])
    expect(found?.isComplete).toBe(false)
  })

  it('does not count a piece whose bytes the disk lost or changed', async () => {
    await write(await (await start()).open(metainfo), [0, 1, 2])
    const file = await open(partialFile(), 'r+')
    await file.write(Buffer.alloc(1), 0, 1, metainfo.pieceLength + 5)
    await file.close()
    const found = (await start()).get(metainfo.digest)
    expect(all.filter((index) => found?.have.has(index))).toEqual([0, 2])
  })

  it('keeps a complete blob complete', async () => {
    const blob = await (await start()).open(metainfo)
    await write(blob, all)
    await Promise.all([blob.complete(), blob.complete()])
    expect(blob.isComplete).toBe(true)
    const found = (await start()).get(metainfo.digest)
    expect(found?.isComplete).toBe(true)
    expect(found?.have.isFull).toBe(true)
    expect(bytes.equals(await readBytes(found!, 0, bytes.length))).toBe(true)
    expect(await readdir(join(folder, 'partial'))).toEqual([])
  })

  it('takes up a blob that had every piece and was killed before it was complete', async () => {
    await write(await (await start()).open(metainfo), all)
    const found = (await start()).get(metainfo.digest)
    expect(found?.have.isFull).toBe(true)
    await found?.complete()
    expect(found?.isComplete).toBe(true)
  })

  it('forgets every piece when they do not make up the blob', async () => {
    const lying = { ...metainfo, digest: parseDigest(`sha256:${'0'.repeat(64)}`) }
    const blob = await (await start()).open(lying)
    await write(blob, all)
    await expect(blob.complete()).rejects.toThrow(BlobDigestMismatchError)
    expect(blob.have.setCount).toBe(0)
    expect(blob.isComplete).toBe(false)
  })

  it('holds a blob of no bytes', async () => {
    const empty = metainfoOf(Buffer.alloc(0))
    const blob = await (await start()).open(empty)
    expect(blob.have.isFull).toBe(true)
    await blob.complete()
    expect(await readBytes(blob, 0, 0)).toHaveLength(0)
    expect((await start()).get(empty.digest)?.isComplete).toBe(true)
  })

  it('removes a blob while it is read, whole or in part', async () => {
    const store = await start()
    const blob = await store.open(metainfo)
    await write(blob, [0, 1])
    const reads = Array.from({ length: 10 }, () =>
      readBytes(blob, 0, 500_000).catch((error: unknown) => error),
    )
    await store.remove(metainfo.digest)
    await Promise.all(reads)
    expect(store.get(metainfo.digest)).toBeUndefined()
    await expect(readBytes(blob, 0, 1)).rejects.toThrow(BlobRemovedError)
    expect((await start()).blobs()).toEqual([])
    const again = await store.open(metainfo)
    expect(again.have.setCount).toBe(0)
  })

  it('drops what it cannot believe: strays, cut files, other people’s metainfo', async () => {
    await write(await (await start()).open(metainfo), [0])
    await writeFile(join(folder, 'partial', `sha256-${'1'.repeat(64)}`), 'stray')
    await writeFile(join(folder, 'metainfo', 'README'), 'not metainfo')
    await writeFile(join(folder, 'metainfo', `sha256-${'2'.repeat(64)}`), 'd4:infoe')
    const other = metainfoOf(randomBytes(10))
    await (await start()).open(other)
    await truncate(join(folder, 'partial', `sha256-${digestHex(other.digest)}`), 3)
    expect((await start()).blobs().map((blob) => blob.metainfo.digest)).toEqual([metainfo.digest])
    expect(await readdir(join(folder, 'partial'))).toHaveLength(1)
    expect(await readdir(join(folder, 'metainfo'))).toHaveLength(1)
  })

  it('closes the files that it does not use', async () => {
    const store = await start()
    const before = (await readdir('/proc/self/fd')).length
    for (let n = 0; n < 200; n++) {
      const small = randomBytes(100)
      const blob = await store.open(metainfoOf(small))
      await blob.writePiece(0, [small])
      await blob.complete()
    }
    await store.stop()
    expect((await readdir('/proc/self/fd')).length).toBeLessThanOrEqual(before + 2)
  })

  it('keeps a signature beside the metainfo, through a restart and until the blob is removed', async () => {
    const signature = randomBytes(64)
    const store = await start()
    await write(await store.open(metainfo), [0])
    await store.sign(metainfo.digest, signature)
    const again = await start()
    expect(Buffer.from(again.get(metainfo.digest)!.signature!).equals(signature)).toBe(true)
    await again.remove(metainfo.digest)
    expect(await readdir(join(folder, 'signatures'))).toEqual([])
    await again.sign(metainfo.digest, signature)
    expect(await readdir(join(folder, 'signatures'))).toEqual([])
  })

  it('drops signatures of what is not here', async () => {
    await (await start()).stop()
    await writeFile(join(folder, 'signatures', `sha256-${digestHex(metainfo.digest)}`), randomBytes(64))
    await start()
    expect(await readdir(join(folder, 'signatures'))).toEqual([])
  })
})
