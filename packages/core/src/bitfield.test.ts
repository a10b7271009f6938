import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Bitfield } from './bitfield.ts'

// Goal: a bitfield is a set of piece indexes, and its wire form is BEP 3's. Method: random sets against a JavaScript Set.
const sets = fc
  .integer({ min: 0, max: 300 })
  .chain((length) =>
    fc.tuple(
      fc.constant(length),
      fc.uniqueArray(fc.nat({ max: Math.max(0, length - 1) }), { maxLength: length }),
    ),
  )
  .map(([length, indexes]) => ({ length, indexes: length === 0 ? [] : indexes }))

function bitfieldOf(length: number, indexes: readonly number[]): Bitfield {
  const bitfield = new Bitfield(length)
  for (const index of indexes) bitfield.set(index)
  return bitfield
}

describe('Bitfield', () => {
  it('has what was set, counts it, and finds what is missing', () => {
    fc.assert(
      fc.property(sets, fc.nat({ max: 310 }), ({ length, indexes }, from) => {
        const bitfield = bitfieldOf(length, indexes)
        const set = new Set(indexes)
        for (let index = -1; index <= length; index++) expect(bitfield.has(index)).toBe(set.has(index))
        expect(bitfield.setCount).toBe(set.size)
        expect(bitfield.isFull).toBe(set.size === length)
        let missing = from
        while (missing < length && set.has(missing)) missing++
        expect(bitfield.nextMissing(from)).toBe(Math.min(missing, length))
      }),
    )
  })

  it('finds what two have in common, and counts what one has beyond the other', () => {
    fc.assert(
      fc.property(sets, sets, fc.nat({ max: 310 }), (one, { indexes }, from) => {
        const { length } = one
        const theirs = indexes.filter((index) => index < length)
        const [a, b] = [bitfieldOf(length, one.indexes), bitfieldOf(length, theirs)]
        const common = one.indexes.filter((index) => index >= from && theirs.includes(index))
        expect(a.nextInBoth(b, from)).toBe(Math.min(length, ...common))
        expect(a.countBeyond(b)).toBe(one.indexes.filter((index) => !theirs.includes(index)).length)
      }),
    )
  })

  it('forgets what is cleared', () => {
    const bitfield = bitfieldOf(40, [3, 35])
    expect(bitfield.clear(35)).toBe(true)
    expect(bitfield.clear(35)).toBe(false)
    expect([bitfield.has(35), bitfield.has(3), bitfield.setCount]).toEqual([false, true, 1])
  })

  it('survives the wire', () => {
    fc.assert(
      fc.property(sets, ({ length, indexes }) => {
        const bytes = bitfieldOf(length, indexes).toBytes()
        expect(bytes.length).toBe(Math.ceil(length / 8))
        expect(Bitfield.fromBytes(bytes, length)?.toBytes()).toEqual(bytes)
      }),
    )
  })

  it('puts piece 0 into the high bit of the first byte', () => {
    expect([...bitfieldOf(10, [0, 9]).toBytes()]).toEqual([0x80, 0x40])
  })

  it('refuses a wrong length and a spare bit that is set', () => {
    expect(Bitfield.fromBytes(Uint8Array.of(0xff), 9)).toBeUndefined()
    expect(Bitfield.fromBytes(Uint8Array.of(0xff, 0x80), 9)?.isFull).toBe(true)
    expect(Bitfield.fromBytes(Uint8Array.of(0xff, 0xc0), 9)).toBeUndefined()
  })

  it('counts a bit once, however often it is set', () => {
    const bitfield = new Bitfield(3)
    expect(bitfield.set(1)).toBe(true)
    expect(bitfield.set(1)).toBe(false)
    expect(bitfield.setCount).toBe(1)
    expect(() => bitfield.set(3)).toThrow('within its bitfield')
  })
})
