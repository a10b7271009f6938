/** Goal: sizes read as people mean them, and nothing that is not one becomes a number. */
import { assert, maxSafeInteger, nat, property, stringMatching } from 'fast-check'
import { expect, test } from 'vitest'
import { BYTES_PATTERN, formatBytes, parseBytes } from './bytes-text.ts'

test.each([
  ['0', 0],
  ['1048576', 1_048_576],
  ['150MB', 150e6],
  ['150 MB', 150e6],
  ['1.5GiB', 1.5 * 2 ** 30],
  ['64gib', 64 * 2 ** 30],
  ['7b', 7],
  // As Kubernetes writes them, and as people shorten them.
  ['64Gi', 64 * 2 ** 30],
  ['1.5Ti', 1.5 * 2 ** 40],
  ['16Mi', 16 * 2 ** 20],
  ['8Ki', 8 * 2 ** 10],
  ['500M', 500e6],
  ['2T', 2e12],
  ['64 KiB', 64 * 2 ** 10],
])('%s', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes)
})

test('whatever looks like a size is one', () => {
  assert(
    property(stringMatching(new RegExp(BYTES_PATTERN)), (text) => {
      const bytes = parseBytes(text)
      // Beyond what a number holds exactly, it is none.
      return bytes !== undefined || Number.parseFloat(text) > Number.MAX_SAFE_INTEGER / 2 ** 40
    }),
  )
})

test.each([
  '',
  'MB',
  '-1',
  '1e9',
  '1,5GB',
  '5 apples',
  '1GBx',
  '9999999999TiB',
  ' 1',
  '0x10',
  'NaN',
  '1none',
  '1i',
  '1iB',
  '1Bi',
  '1m i',
  '1E',
  '1Pi',
])('%j is no size', (text) => {
  expect(parseBytes(text)).toBeUndefined()
})

test('what is written is read again', () => {
  assert(
    property(
      maxSafeInteger().filter((n) => n >= 0 && n < 1e15),
      (bytes) => parseBytes(formatBytes(bytes)) === bytes,
    ),
  )
  assert(property(nat(5_000), (count) => parseBytes(formatBytes(count * 2 ** 30)) === count * 2 ** 30))
  expect(formatBytes(64 * 2 ** 30)).toBe('64GiB')
  expect(formatBytes(160e6)).toBe('160MB')
  expect(formatBytes(0)).toBe('0')
})
