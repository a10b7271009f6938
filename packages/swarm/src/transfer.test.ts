/**
 * Goal: readers get right bytes, in order, as soon as they are there, and none by hashes that nobody vouches for. Method: a
 * swarm that does only what the test says.
 */
import { EventEmitter } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { MemoryPieces, testBlob } from '@shoal/testing/memory-pieces'
import { describe, expect, it } from 'vitest'
import type { Swarm, SwarmEvents } from './engine.ts'
import { PieceMismatchError, TransferFailedError } from './errors.ts'
import { Transfer } from './transfer.ts'

class QuietSwarm extends EventEmitter<SwarmEvents> implements Swarm {
  readonly infoHash = 'ab'.repeat(20)
  readonly peersConnected = 0
  readonly added: number[] = []
  positions: readonly number[] = []
  connect() {}
  setImports(): void {}
  download() {}
  pause() {}
  setReaderPositions(positions: readonly number[]) {
    this.positions = positions
  }
  learnPiece(): void {}
  addPiece(index: number) {
    this.added.push(index)
  }
  async leave() {}
}

const blob = testBlob(900_000, 3)
const { pieceLength } = blob.metainfo
const piece = (index: number) => blob.bytes.subarray(index * pieceLength, (index + 1) * pieceLength)

function begin(indexes: readonly number[] = [], { isTrusted = true, isArriving = false } = {}) {
  const pieces = new MemoryPieces(blob, indexes)
  const swarm = new QuietSwarm()
  const transfer = new Transfer({ blob: pieces, swarm, isArriving })
  if (isTrusted) transfer.trustMetainfo()
  const arrive = async (index: number) => {
    await pieces.writePiece(index, [piece(index)])
    swarm.emit('piece', index)
  }
  return { pieces, swarm, transfer, arrive }
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(Buffer.from(chunk))
  return Buffer.concat(parts)
}

describe('Transfer', () => {
  it('gives a reader each piece when it is its turn, whatever order they come in', async () => {
    const { transfer, arrive } = begin()
    const reading = collect(transfer.read(0, blob.bytes.length))
    for (const index of [2, 0, 3, 1]) await arrive(index)
    expect((await reading).equals(blob.bytes)).toBe(true)
    await transfer.whenComplete()
    expect(transfer.isComplete).toBe(true)
  })

  it('gives the first bytes before the last piece is there', async () => {
    const { transfer, arrive } = begin()
    const reader = transfer.read(0, blob.bytes.length)
    const first = reader.next()
    await arrive(0)
    expect(Buffer.from((await first).value!).equals(piece(0))).toBe(true)
    await reader.return()
    expect(transfer.readerCount).toBe(0)
  })

  it('lets a range wait for its own pieces only', async () => {
    const { transfer, arrive } = begin()
    const reading = collect(transfer.read(pieceLength + 5, 2 * pieceLength + 5))
    await arrive(2)
    await arrive(1)
    expect((await reading).equals(blob.bytes.subarray(pieceLength + 5, 2 * pieceLength + 5))).toBe(true)
  })

  it('tells the swarm where its readers are', async () => {
    const { transfer, swarm, arrive } = begin()
    const readers = [transfer.read(0, blob.bytes.length), transfer.read(2 * pieceLength, blob.bytes.length)]
    const waiting = readers.map((reader) => reader.next())
    expect(swarm.positions).toEqual([0, 2])
    await arrive(0)
    await arrive(2)
    await Promise.all(waiting)
    await Promise.all(readers.map((reader) => reader.return()))
    expect(swarm.positions).toEqual([])
  })

  it('takes a piece from elsewhere, verified, and shares it', async () => {
    const { transfer, pieces, swarm } = begin()
    await transfer.offerPiece(1, piece(1), 'the seeder')
    expect(pieces.have.has(1)).toBe(true)
    expect(swarm.added).toEqual([1])
    await transfer.offerPiece(1, piece(1), 'the seeder')
    expect(swarm.added).toEqual([1])
  })

  it.each([
    ['a changed byte', (right: Buffer) => Buffer.concat([Buffer.from([right[0]! ^ 1]), right.subarray(1)])],
    ['a missing byte', (right: Buffer) => right.subarray(1)],
    ['a byte too many', (right: Buffer) => Buffer.concat([right, Buffer.from([0])])],
  ])('refuses a piece with %s', async (_what, spoil) => {
    const { transfer, pieces, swarm } = begin()
    await expect(transfer.offerPiece(0, spoil(piece(0)), 'the origin')).rejects.toThrow(PieceMismatchError)
    expect(pieces.have.setCount).toBe(0)
    expect(swarm.added).toEqual([])
  })

  it('gives nothing of a blob whose metainfo nobody vouches for, ranges neither, before its digest was found right', async () => {
    const { transfer, pieces } = begin([], { isTrusted: false })
    const checked = Promise.withResolvers<void>()
    pieces.complete = async () => {
      await checked.promise
      pieces.isComplete = true
    }
    const readings = [[0, 10] as const, [0, blob.bytes.length] as const].map(([start, end]) =>
      collect(transfer.read(start, end)),
    )
    let given = 0
    for (const reading of readings) void reading.then(() => given++)
    for (const index of [0, 1, 2, 3]) await transfer.offerPiece(index, piece(index), 'the disk')
    await nextTurn()
    expect(given).toBe(0)
    checked.resolve()
    const [range, whole] = await Promise.all(readings)
    expect(range!.equals(blob.bytes.subarray(0, 10))).toBe(true)
    expect(whole!.equals(blob.bytes)).toBe(true)
  })

  it('gives nothing of it at all when its digest is another', async () => {
    const { transfer, pieces, arrive } = begin([], { isTrusted: false })
    pieces.complete = async () => {
      throw new Error('other bytes')
    }
    const reading = collect(transfer.read(0, 10))
    for (const index of [0, 1, 2, 3]) await arrive(index)
    await expect(reading).rejects.toThrow(TransferFailedError)
  })

  it('lets readers go on as soon as somebody vouches for the metainfo', async () => {
    const { transfer } = begin([0], { isTrusted: false })
    const reading = collect(transfer.read(0, 10))
    transfer.trustMetainfo()
    expect((await reading).equals(blob.bytes.subarray(0, 10))).toBe(true)
  })

  it('lets no reader wait for the digest where the metainfo is trusted, and keeps nothing that fails it', async () => {
    const { transfer, pieces, arrive } = begin()
    const checked = Promise.withResolvers<void>()
    pieces.complete = () => checked.promise
    const reading = collect(transfer.read(0, blob.bytes.length))
    for (const index of [0, 1, 2, 3]) await arrive(index)
    expect((await reading).equals(blob.bytes)).toBe(true)
    checked.reject(new Error('other bytes'))
    await expect(transfer.whenComplete()).rejects.toThrow(TransferFailedError)
  })

  it('fails readers that wait, and gives what is there to those that need no more', async () => {
    const { transfer } = begin([0])
    const waiting = collect(transfer.read(0, blob.bytes.length))
    transfer.fail(new Error('no source'))
    await expect(waiting).rejects.toThrow(TransferFailedError)
    expect((await collect(transfer.read(0, 100))).equals(blob.bytes.subarray(0, 100))).toBe(true)
  })

  it('lets go of a reader that was aborted, and only of that one', async () => {
    const { transfer, arrive } = begin()
    const stop = new AbortController()
    const aborted = collect(transfer.read(0, blob.bytes.length, stop.signal))
    const other = collect(transfer.read(0, blob.bytes.length))
    stop.abort(new Error('gone'))
    await expect(aborted).rejects.toThrow('gone')
    for (const index of [0, 1, 2, 3]) await arrive(index)
    expect((await other).equals(blob.bytes)).toBe(true)
  })

  it('is complete at once with a blob of no bytes', async () => {
    const empty = testBlob(0, 1)
    const transfer = new Transfer({ blob: MemoryPieces.none(empty), swarm: new QuietSwarm() })
    await transfer.whenComplete()
    expect(await collect(transfer.read(0, 0))).toHaveLength(0)
  })
})

describe('the transfer of a blob that still arrives at the seeder', () => {
  /** What a reader was given so far. */
  function read(transfer: Transfer, start: number, end: number) {
    const given: Buffer[] = []
    const ended = (async () => {
      for await (const chunk of transfer.read(start, end)) given.push(Buffer.from(chunk))
    })()
    ended.catch(() => {})
    return { ended, bytes: () => Buffer.concat(given) }
  }
  const length = blob.bytes.length
  const last = 3 * pieceLength
  const arriving = () => begin([], { isTrusted: false, isArriving: true })

  it('gives each piece as it comes, and the last when the whole was confirmed, in one body', async () => {
    const { transfer, pieces, arrive } = arriving()
    let completions = 0
    const complete = pieces.complete.bind(pieces)
    pieces.complete = async () => {
      completions++
      await complete()
    }
    const reader = read(transfer, 0, length)
    const ranges = [read(transfer, last - 10, last), read(transfer, last - 10, last + 1)]
    for (const index of [1, 0, 3, 2]) await arrive(index)
    await expect.poll(() => reader.bytes().length).toBe(last)
    await ranges[0]!.ended
    // The last piece is here, and nobody has a byte of it, the range neither that reaches one byte into it.
    await nextTurn()
    expect(reader.bytes().equals(blob.bytes.subarray(0, last))).toBe(true)
    expect(ranges[1]!.bytes()).toHaveLength(10)
    expect(completions).toBe(0)

    const own = new QuietSwarm()
    transfer.confirm(own)
    await Promise.all([reader.ended, ranges[1]!.ended])
    expect(reader.bytes().equals(blob.bytes)).toBe(true)
    expect(ranges[1]!.bytes()).toHaveLength(11)
    transfer.trustMetainfo()
    await transfer.whenComplete()
    expect(completions).toBe(1)
  })

  it('goes on in the swarm of its own, and hears the other no more', async () => {
    const { transfer, swarm, pieces } = arriving()
    const reader = read(transfer, 0, length)
    expect(swarm.positions).toEqual([0])
    const own = new QuietSwarm()
    transfer.confirm(own)
    transfer.trustMetainfo()
    expect(own.positions).toEqual([0])
    swarm.emit('failed', new Error('it was left'))
    for (const index of [0, 1, 2, 3]) {
      await pieces.writePiece(index, [piece(index)])
      own.emit('piece', index)
    }
    await reader.ended
    expect(reader.bytes().equals(blob.bytes)).toBe(true)
  })

  it('is cut where it was not what it should be: no body is whole', async () => {
    const { transfer, arrive } = arriving()
    const reader = read(transfer, 0, length)
    for (const index of [0, 1, 2, 3]) await arrive(index)
    await expect.poll(() => reader.bytes().length).toBe(last)
    transfer.fail(new Error('the digest is another'))
    await expect(reader.ended).rejects.toThrow(TransferFailedError)
    expect(reader.bytes()).toHaveLength(last)
    await expect(read(transfer, last, length).ended).rejects.toThrow(TransferFailedError)
  })
})
