import { Bitfield, createPrng } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type PickerView, pickPieces, READER_WINDOW_PIECES } from './piece-picker.ts'

const views = fc.record({
  seed: fc.nat(),
  pieces: fc.array(
    fc.record({
      have: fc.boolean(),
      requested: fc.boolean(),
      offered: fc.boolean(),
      availability: fc.nat({ max: 9 }),
    }),
    { minLength: 1, maxLength: 60 },
  ),
  readers: fc.array(fc.nat({ max: 59 }), { maxLength: 3 }),
  countMax: fc.nat({ max: 70 }),
})
type View = typeof views extends fc.Arbitrary<infer T> ? T : never

function viewOf({ pieces, readers }: View): PickerView {
  const have = new Bitfield(pieces.length)
  pieces.forEach((piece, index) => {
    if (piece.have) have.set(index)
  })
  return {
    have,
    isRequested: (index) => pieces[index]!.requested,
    isOffered: (index) => pieces[index]!.offered,
    availability: (index) => pieces[index]!.availability,
    readerPositions: readers,
  }
}

describe('pickPieces', () => {
  it('picks every piece that can be asked for, once, and no other', () => {
    fc.assert(
      fc.property(views, (given) => {
        const picked = pickPieces(viewOf(given), given.countMax, createPrng(given.seed))
        const eligible = given.pieces.flatMap((p, index) =>
          !p.have && !p.requested && p.offered ? [index] : [],
        )
        expect(new Set(picked).size).toBe(picked.length)
        expect(eligible).toEqual(expect.arrayContaining(picked))
        expect(picked.length).toBe(Math.min(given.countMax, eligible.length))
      }),
    )
  })

  it('serves readers first, then the rarest', () => {
    fc.assert(
      fc.property(views, (given) => {
        const picked = pickPieces(viewOf(given), given.countMax, createPrng(given.seed))
        const inWindow = (index: number) =>
          given.readers.some((at) => index >= at && index < at + READER_WINDOW_PIECES)
        const rest = picked.filter((index) => !inWindow(index))
        expect(picked.slice(picked.length - rest.length)).toEqual(rest)
        const rarity = rest.map((index) => given.pieces[index]!.availability)
        expect(rarity).toEqual(rarity.toSorted((a, b) => a - b))
      }),
    )
  })

  it('does the same for the same seed', () => {
    fc.assert(
      fc.property(views, (given) => {
        const twice = [1, 2].map(() => pickPieces(viewOf(given), given.countMax, createPrng(given.seed)))
        expect(twice[0]).toEqual(twice[1])
      }),
    )
  })

  it('spreads many nodes over equally rare pieces, where a fixed order would have all ask for the same', () => {
    const view = {
      have: new Bitfield(16),
      isRequested: () => false,
      isOffered: () => true,
      availability: () => 1,
      readerPositions: [],
    }
    const counts = new Array<number>(16).fill(0)
    for (let node = 0; node < 1_600; node++) counts[pickPieces(view, 1, createPrng(node))[0]!]!++
    // 100 expected each; 5 standard deviations either way.
    for (const count of counts) expect(Math.abs(count - 100)).toBeLessThan(50)
  })
})
