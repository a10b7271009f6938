/**
 * Goal: no byte is read of a cache that has rotted, and what is right of it is kept. Method: real files, spoilt in every way that
 * disks and people spoil them: while the store runs, between two runs, by a bit, by a cut, by removal.
 */
import { createHash, hash, randomBytes } from 'node:crypto'
import { link, mkdtemp, open, readFile, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestHex, type Metainfo, parseDigest, pieceBytes, pieceCount, pieceLengthFor } from '@shoal/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { PieceDamagedError } from './errors.ts'
import { FilePieceStore } from './file-piece-store.ts'
import { readBytes, type StoredBlob } from './piece-store.ts'

const bytes = randomBytes(600_000)
const pieceLength = pieceLengthFor(bytes.length)
const pieces = Array.from({ length: Math.ceil(bytes.length / pieceLength) }, (_, index) =>
  bytes.subarray(index * pieceLength, (index + 1) * pieceLength),
)
const hex = createHash('sha256').update(bytes).digest('hex')
const metainfo: Metainfo = {
  digest: parseDigest(`sha256:${hex}`),
  length: bytes.length,
  pieceLength,
  piecesSha1: Buffer.concat(pieces.map((piece) => hash('sha1', piece, 'buffer'))),
  piecesSha256: Buffer.concat(pieces.map((piece) => hash('sha256', piece, 'buffer'))),
}
/** A piece in the middle, and one beside it. */
const [bad, good] = [4, 5]

let folder: string
let store: FilePieceStore
let damaged: number[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-damaged-'))
  await restart()
  const blob = await store.open(metainfo)
  for (const [index, piece] of pieces.entries()) await blob.writePiece(index, [piece])
  await blob.complete()
})
afterEach(async () => {
  await store.stop()
  await rm(folder, { recursive: true })
})

async function restart(): Promise<void> {
  await store?.stop()
  damaged = []
  store = new FilePieceStore({ folder })
  store.on('damaged', (_digest, index) => damaged.push(index))
  await store.start()
}

const file = () => join(folder, 'blobs', 'sha256', digestHex(metainfo.digest).slice(0, 2), hex)
const blob = () => store.get(metainfo.digest)!
const read = (index: number, of: StoredBlob = blob()) =>
  readBytes(of, index * pieceLength, index * pieceLength + pieceBytes(metainfo, index))

async function flipBit(index: number): Promise<void> {
  const handle = await open(file(), 'r+')
  const at = index * pieceLength + 100
  await handle.write(Uint8Array.of(bytes[at]! ^ 1), 0, 1, at)
  await handle.close()
}

/** What whoever noticed does: the missing pieces are written again. */
async function mend(): Promise<void> {
  for (const [index, piece] of pieces.entries()) await blob().writePiece(index, [piece])
  await blob().complete()
}

async function expectWhole(): Promise<void> {
  expect(blob().isComplete).toBe(true)
  expect(bytes.equals(await readBytes(blob(), 0, bytes.length))).toBe(true)
  expect(bytes.equals(await readFile(file()))).toBe(true)
}

describe('a bit that flipped', () => {
  it('before a restart is found by the first read of its piece; the others stay', async () => {
    await flipBit(bad)
    await restart()
    expect(blob().isComplete).toBe(true)
    expect(pieces[good]!.equals(await read(good))).toBe(true)
    await expect(read(bad)).rejects.toThrow(PieceDamagedError)
    expect(damaged).toEqual([bad])
    expect([blob().isComplete, blob().have.has(bad), blob().have.setCount]).toEqual([
      false,
      false,
      pieceCount(metainfo) - 1,
    ])
    expect(pieces[good]!.equals(await read(good))).toBe(true)
    await mend()
    await expectWhole()
    await restart()
    await expectWhole()
  })

  it('while the store runs is found although the piece was read before', async () => {
    await read(bad)
    // Handles are closed when nobody reads, and the file is looked at when it is opened.
    await restart()
    await read(bad)
    await flipBit(bad)
    await expect
      .poll(
        () =>
          read(bad).then(
            () => 'read',
            (error: Error) => error.constructor.name,
          ),
        { timeout: 5_000 },
      )
      .toBe('PieceDamagedError')
    await mend()
    await expectWhole()
  })

  it('that many ask for at once is told of once', async () => {
    await flipBit(bad)
    await restart()
    const reads = await Promise.allSettled(Array.from({ length: 20 }, () => read(bad)))
    expect(reads.map(({ status }) => status)).toEqual(Array(20).fill('rejected'))
    expect(damaged).toEqual([bad])
  })

  it('is found without anybody reading it, and nothing else is', async () => {
    await flipBit(bad)
    await restart()
    expect(await blob().check(good)).toBe(true)
    expect(await blob().check()).toBe(false)
    expect(damaged).toEqual([bad])
    await mend()
    expect(await blob().check()).toBe(true)
    await expectWhole()
  })

  it('and a process that is killed before it was mended: the rest is there after the restart', async () => {
    await flipBit(bad)
    await restart()
    await expect(read(bad)).rejects.toThrow(PieceDamagedError)
    await restart()
    expect([blob().isComplete, blob().have.setCount]).toEqual([false, pieceCount(metainfo) - 1])
    await mend()
    await expectWhole()
  })
})

describe('a file', () => {
  it('that was cut while the store ran has lost what is missing', async () => {
    await restart()
    await truncate(file(), bad * pieceLength)
    await expect(read(pieceCount(metainfo) - 1)).rejects.toThrow(PieceDamagedError)
    expect(pieces[0]!.equals(await read(0))).toBe(true)
    await blob().check()
    expect(blob().have.setCount).toBe(bad)
    await mend()
    await expectWhole()
  })

  it('that was removed while the store ran has lost everything, and can be had again', async () => {
    await restart()
    await rm(file())
    await expect(read(0)).rejects.toThrow(PieceDamagedError)
    expect([blob().isComplete, blob().have.setCount]).toEqual([false, 0])
    await mend()
    await expectWhole()
  })

  it('that has another name is not written to', async () => {
    const other = join(folder, 'other')
    await link(file(), other)
    await flipBit(bad)
    const spoilt = await readFile(other)
    await restart()
    await expect(read(bad)).rejects.toThrow(PieceDamagedError)
    expect(blob().have.setCount).toBe(0)
    await mend()
    await expectWhole()
    expect(spoilt.equals(await readFile(other))).toBe(true)
  })
})
