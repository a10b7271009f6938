import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DigestInvalidError, digestAlgorithm, digestHex, parseDigest, tryParseDigest } from './digest.ts'

const hexOf = (length: number) =>
  fc
    .array(fc.constantFrom(...'0123456789abcdef'), { minLength: length, maxLength: length })
    .map((digits) => digits.join(''))

describe('digests', () => {
  it('accepts the two registered algorithms with their full length', () => {
    fc.assert(
      fc.property(hexOf(64), hexOf(128), (short, long) => {
        expect(digestHex(parseDigest(`sha256:${short}`))).toBe(short)
        expect(digestAlgorithm(parseDigest(`sha512:${long}`))).toBe('sha512')
      }),
    )
  })

  it.each([
    ['too short', `sha256:${'a'.repeat(63)}`],
    ['too long', `sha256:${'a'.repeat(65)}`],
    ['the other length', `sha512:${'a'.repeat(64)}`],
    ['upper case', `sha256:${'A'.repeat(64)}`],
    ['an unregistered algorithm', `md5:${'a'.repeat(32)}`],
    ['something before it', ` sha256:${'a'.repeat(64)}`],
    ['a line end behind it', `sha256:${'a'.repeat(64)}\n`],
    ['a path', 'sha256:../../etc/passwd'],
    ['nothing', ''],
  ])('refuses %s', (_what, text) => {
    expect(tryParseDigest(text)).toBeUndefined()
    expect(() => parseDigest(text)).toThrow(DigestInvalidError)
  })
})
