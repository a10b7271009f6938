import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Bencoded, BencodeError, bdecode, bencode } from './bencode.ts'
import { asciiBytes } from './bytes.ts'

// Goal: one value has one encoding, and only that encoding is read. Method: round trips, and bytes cut or changed anywhere.
const key = fc
  .array(fc.constantFrom(...'abcxyz. '), { maxLength: 8 })
  .map((characters) => characters.join(''))
const { value } = fc.letrec<{ value: Bencoded }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.maxSafeInteger(),
    fc.uint8Array({ maxLength: 20 }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(key, tie('value'), { maxKeys: 5, noNullPrototype: false }),
  ),
}))

describe('bencoding', () => {
  it('reads what it writes, and writes it the same again', () => {
    fc.assert(
      fc.property(value, (given) => {
        const bytes = bencode(given)
        expect(bencode(bdecode(bytes))).toEqual(bytes)
      }),
    )
  })

  it('never throws anything but its own error, and never reads a part', () => {
    fc.assert(
      fc.property(value, fc.nat(), fc.nat({ max: 255 }), (given, at, byte) => {
        const bytes = bencode(given)
        const cut = bytes.subarray(0, at % bytes.length)
        expect(() => bdecode(cut)).toThrow(BencodeError)
        const changed = bytes.slice()
        changed[at % bytes.length] = byte
        try {
          expect(bencode(bdecode(changed))).toEqual(changed)
        } catch (error) {
          if (!(error instanceof BencodeError)) throw error
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it.each([
    ['a leading zero', 'i03e'],
    ['minus zero', 'i-0e'],
    ['a length that does not fit', '9999999999:a'],
    ['a length beyond all numbers', '99999999999999999999:a'],
    ['unsorted keys', 'd1:bi1e1:ai1ee'],
    ['a key twice', 'd1:ai1e1:ai1ee'],
    ['something behind it', 'i1ei1e'],
    ['endless lists', 'l'.repeat(1_000)],
    ['many lists, of two bytes each', `l${'le'.repeat(2_000)}e`],
    ['nothing', ''],
  ])('refuses %s', (_what, text) => {
    expect(() => bdecode(asciiBytes(text))).toThrow(BencodeError)
  })
})
