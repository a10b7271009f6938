/**
 * Goal: the network's chunks do not show in the lines, and no line outgrows its limit.
 * Method: random lines cut at random places; lengths on both sides of the limit.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LineTooLongError } from './errors.ts'
import { LineSplitter } from './lines.ts'

function linesOf(chunks: readonly Uint8Array[], lineBytesMax = 1_000): string[] {
  const splitter = new LineSplitter({ lineBytesMax })
  return chunks.flatMap((chunk) => [...splitter.push(chunk)])
}

describe('lines', () => {
  test('are the same however they are cut', () => {
    const lines = fc.array(
      fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => text.replaceAll('\n', '')),
    )
    fc.assert(
      fc.property(
        lines,
        fc.string({ maxLength: 5 }),
        fc.array(fc.nat(), { maxLength: 30 }),
        (texts, rest, at) => {
          const tail = rest.replaceAll('\n', '')
          const bytes = Buffer.from(texts.map((text) => `${text}\n`).join('') + tail)
          const places = [...new Set(at.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
          const chunks = [0, ...places].map((from, i) => bytes.subarray(from, places[i] ?? bytes.length))
          expect(linesOf(chunks)).toEqual(texts)
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test('come one by one from single bytes, and what has no end is held', () => {
    const splitter = new LineSplitter({ lineBytesMax: 2_000 })
    const text = `${'é'.repeat(900)}\n\nrest`
    const lines = [...Buffer.from(text)].flatMap((byte) => [...splitter.push(Uint8Array.of(byte))])
    expect(lines).toEqual(['é'.repeat(900), ''])
    expect(splitter.heldBytes).toBe(4)
  })

  test('may be as long as the limit, and not a byte longer, with or without an end', () => {
    expect(linesOf([Buffer.from('12345\n'), Buffer.from('12'), Buffer.from('345\n')], 5)).toEqual([
      '12345',
      '12345',
    ])
    for (const chunks of [['123456\n'], ['123456'], ['12345', '6'], ['1\n123', '456']])
      expect(() =>
        linesOf(
          chunks.map((text) => Buffer.from(text)),
          5,
        ),
      ).toThrow(LineTooLongError)
  })
})
