/** Goal: sizes read as people mean them, and nothing that is not one becomes a number. */
import { assert, maxSafeInteger, nat, property } from 'fast-check'
import { expect, test } from 'vitest'
import { formatBytes, parseBytes } from './bytes-text.ts'

test.each([
  ['0', 0],
  ['1048576', 1_048_576],
  ['150MB', 150e6],
  ['150 MB', 150e6],
  ['1.5GiB', 1.5 * 2 ** 30],
  ['64gib', 64 * 2 ** 30],
  ['7b', 7],
])('%s', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes)
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
