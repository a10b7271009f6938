/**
 * Goal: the ranges that RFC 9110 means, and nothing outside the blob whatever is sent.
 * Method: a table of the forms that clients send, and a model (a set of byte positions) for random ones.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatContentRange, formatUploadRange, parseRange, parseUploadRange, RANGES_MAX } from './range.ts'

const one = (start: number, end: number) => ({ kind: 'ranges', ranges: [{ start, end }] })

describe('Range', () => {
  test.each([
    ['bytes=0-', one(0, 100)],
    ['bytes=10-', one(10, 100)],
    ['bytes=0-0', one(0, 1)],
    ['bytes=10-19', one(10, 20)],
    ['bytes=10-1000', one(10, 100)],
    ['bytes=-10', one(90, 100)],
    ['bytes=-1000', one(0, 100)],
    ['bytes=99-', one(99, 100)],
    ['Bytes = 1-2', one(1, 3)],
    ['bytes=5-99999999999999999999999', one(5, 100)],
    [
      'bytes=0-1,5-6',
      {
        kind: 'ranges',
        ranges: [
          { start: 0, end: 2 },
          { start: 5, end: 7 },
        ],
      },
    ],
    ['bytes=0-1, ,200-300', one(0, 2)],
  ])('%s of 100 bytes', (header, expected) => {
    expect(parseRange(header, 100)).toEqual(expected)
  })

  test.each([
    'bytes=5-2',
    'bytes=100-',
    'bytes=100-200',
    'bytes=-0',
    'bytes=99999999999999999999-',
    'bytes=200-300,400-',
  ])('%s is outside', (header) => {
    expect(parseRange(header, 100)).toEqual({ kind: 'unsatisfiable' })
  })

  test.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=,',
    'items=0-1',
    'bytes=a-b',
    'bytes=-',
    'bytes=1-2-3',
    'bytes=0x1-2',
    'bytes=--1',
    'bytes=+1-2',
  ])('%s is ignored, as RFC 9110, 14.2 asks', (header) => {
    expect(parseRange(header, 100)).toEqual({ kind: 'whole' })
  })

  test('an empty blob is given whole', () => {
    expect(parseRange('bytes=0-', 0)).toEqual({ kind: 'whole' })
  })

  test('the number of ranges is bounded', () => {
    const many = (count: number) => `bytes=${Array.from({ length: count }, () => '0-0').join(',')}`
    expect(parseRange(many(RANGES_MAX), 100).kind).toBe('ranges')
    expect(parseRange(many(RANGES_MAX + 1), 100).kind).toBe('whole')
  })

  test('what is given lies within the blob and is what was named', () => {
    const number = fc.nat({ max: 300 })
    fc.assert(
      fc.property(
        number,
        fc.option(number, { nil: undefined }),
        fc.integer({ min: 1, max: 200 }),
        (first, last, length) => {
          fc.pre(last === undefined || last >= first)
          const parsed = parseRange(`bytes=${first}-${last ?? ''}`, length)
          const positions = Array.from({ length }, (_, i) => i).filter(
            (i) => i >= first && i <= (last ?? length),
          )
          if (positions.length === 0) {
            expect(parsed).toEqual({ kind: 'unsatisfiable' })
            return
          }
          expect(parsed).toEqual(one(positions[0]!, positions.at(-1)! + 1))
        },
      ),
    )
  })

  test('any text is read without an error', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), (text, length) => {
        const parsed = parseRange(`bytes=${text}`, length)
        if (parsed.kind !== 'ranges') return
        for (const { start, end } of parsed.ranges) {
          expect(start).toBeGreaterThanOrEqual(0)
          expect(end).toBeGreaterThan(start)
          expect(end).toBeLessThanOrEqual(length)
        }
      }),
    )
  })
})

describe('Content-Range', () => {
  test('of an answer', () => {
    expect(formatContentRange({ start: 0, end: 10 }, 100)).toBe('bytes 0-9/100')
  })

  test('of an upload, with and without a unit', () => {
    expect(parseUploadRange('0-99')).toEqual({ start: 0, end: 100 })
    expect(parseUploadRange('bytes 5-5/*')).toEqual({ start: 5, end: 6 })
    for (const bad of [
      '',
      '5',
      '5-',
      '-5',
      '6-5',
      'a-b',
      '0-99999999999999999',
      '9007199254740991-9007199254740991',
    ]) {
      expect(parseUploadRange(bad)).toBeUndefined()
    }
  })

  test('what was received so far', () => {
    expect(formatUploadRange(0)).toBe('0-0')
    expect(formatUploadRange(1)).toBe('0-0')
    expect(formatUploadRange(10)).toBe('0-9')
  })
})
