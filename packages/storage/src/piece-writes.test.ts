import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PieceWrites } from './piece-writes.ts'

const MIB = 1024 * 1024

/** Writes that end when the test says so. */
function slowWriter() {
  const writes: { first: number; pieces: number; done: PromiseWithResolvers<void> }[] = []
  const write = (first: number, parts: readonly Uint8Array[]) => {
    const done = Promise.withResolvers<void>()
    writes.push({ first, pieces: parts.length, done })
    return done.promise
  }
  return { writes, write }
}

const piece = [new Uint8Array(1)]

describe('writes to one file', () => {
  it('of long pieces come one after the other, neighbours that waited together', async () => {
    const { writes, write } = slowWriter()
    const order = new PieceWrites(MIB, write)
    const added = [7, 3, 5, 4, 9].map((index) => order.add(index, piece))
    expect(writes).toMatchObject([{ first: 7, pieces: 1 }])
    writes[0]!.done.resolve()
    await added[0]
    expect(writes.slice(1)).toMatchObject([{ first: 3, pieces: 3 }])
    writes[1]!.done.resolve()
    await Promise.all(added.slice(1, 4))
    expect(writes.slice(2)).toMatchObject([{ first: 9, pieces: 1 }])
  })

  it('are never longer than four MiB', async () => {
    const { writes, write } = slowWriter()
    const order = new PieceWrites(MIB, write)
    for (let index = 0; index < 12; index++) void order.add(index, piece)
    writes[0]!.done.resolve()
    await writes[0]!.done.promise
    await Promise.resolve()
    expect(writes.slice(1)).toMatchObject([{ first: 1, pieces: 4 }])
  })

  it('of short pieces are under way together', () => {
    const { writes, write } = slowWriter()
    const order = new PieceWrites(256 * 1024, write)
    for (const index of [8, 2, 6, 4, 0]) void order.add(index, piece)
    expect(writes.map(({ first }) => first)).toEqual([8, 2, 6, 4])
  })

  it('of a piece that is being written already is not made again', async () => {
    const { writes, write } = slowWriter()
    const order = new PieceWrites(MIB, write)
    const twice = [order.add(1, piece), order.add(1, piece)]
    expect(writes).toHaveLength(1)
    writes[0]!.done.resolve()
    await Promise.all(twice)
    expect(writes).toHaveLength(1)
  })

  it('fail for those whose pieces they hold, and for no others', async () => {
    const { writes, write } = slowWriter()
    const order = new PieceWrites(MIB, write)
    const [first, second] = [order.add(1, piece), order.add(5, piece)]
    writes[0]!.done.reject(new Error('the disk is full'))
    await expect(first).rejects.toThrow('the disk is full')
    writes[1]!.done.resolve()
    await second
  })

  it('hold every piece once, whatever comes in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(64 * 1024, 256 * 1024, MIB, 4 * MIB),
        fc.uniqueArray(fc.nat(40), { minLength: 1 }),
        fc.infiniteStream(fc.nat(3)),
        async (pieceLength, indexes, turns) => {
          const written: number[] = []
          const order = new PieceWrites(pieceLength, async (first, parts) => {
            for (const [offset, part] of parts.entries()) {
              expect(part[0]).toBe(first + offset)
              written.push(first + offset)
            }
            for (let turn = turns.next().value; turn > 0; turn--) await Promise.resolve()
          })
          await Promise.all(indexes.map((index) => order.add(index, [Uint8Array.of(index)])))
          expect(written.sort((a, b) => a - b)).toEqual([...indexes].sort((a, b) => a - b))
        },
      ),
    )
  })
})
