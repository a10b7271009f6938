import { toHex } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameInvalidError, FrameTooLargeError, WireError } from './errors.ts'
import { decodeMessage, encodeMessage } from './msgpack.ts'

// Goal: what we encode is read; whatever else arrives is one of our errors, soon, and allocates nothing that it only claims.
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.maxSafeInteger(),
    fc.string({ maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.boolean(),
    fc.constant(null),
    fc.double({ noNaN: true }),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(
      fc.string({ minLength: 1, maxLength: 9 }).filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 20, noNullPrototype: true },
    ),
  ),
}))

describe('MessagePack', () => {
  it('reads what it writes', () => {
    fc.assert(
      fc.property(value, (given) => {
        const bytes = encodeMessage(given)
        expect(toHex(encodeMessage(decodeMessage(bytes, bytes.length)))).toBe(toHex(bytes))
      }),
    )
  })

  it('refuses what was cut anywhere', () => {
    fc.assert(
      fc.property(value, fc.nat(), (given, at) => {
        const bytes = encodeMessage(given)
        expect(() => decodeMessage(bytes.subarray(0, at % bytes.length), 1e6)).toThrow(FrameInvalidError)
      }),
    )
  })

  it('throws nothing but its own errors on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          decodeMessage(bytes, 1e6)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }),
      { numRuns: 5_000 },
    )
  })

  it.each([
    ['an array of four thousand million', [0xdd, 0xff, 0xff, 0xff, 0xff]],
    ['a map of thirty million', [0xdf, 0x01, 0xff, 0xff, 0xff]],
    ['a string of four gigabytes', [0xdb, 0xff, 0xff, 0xff, 0xff, 0x41]],
    ['an extension type', [0xc7, 0x01, 0x01, 0x00]],
    ['lists without end', new Array(100).fill(0x91)],
    ['two values', [0x01, 0x02]],
    ['nothing', []],
  ])('refuses %s', (_what, bytes) => {
    expect(() => decodeMessage(Uint8Array.from(bytes), 1_000)).toThrow(FrameInvalidError)
  })

  it('looks at the length first', () => {
    expect(() => decodeMessage(new Uint8Array(11), 10)).toThrow(FrameTooLargeError)
  })
})
