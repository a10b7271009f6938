/** Goal: what people write is read as it is meant, and everything else is refused. Method: examples, then random text. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseDuration, parseRate, parseShare } from './quantities.ts'

describe('quantities', () => {
  it('reads rates in bits and in bytes', () => {
    expect(parseRate('10Gbps')).toBe(1.25e9)
    expect(parseRate('20 mbps')).toBe(2.5e6)
    expect(parseRate('300MB/s')).toBe(3e8)
    expect(parseRate('1MiB/s')).toBe(2 ** 20)
  })

  it('reads durations and shares', () => {
    expect(['0s', '250ms', '1.5m'].map(parseDuration)).toEqual([0, 250, 90_000])
    expect(['0%', '5%', '12.5%', '100%'].map(parseShare)).toEqual([0, 0.05, 0.125, 1])
  })

  it.each(['', '10', '0Gbps', '-1Gbps', '10Gb', '1e9bps', 'NaNbps', '10Gbps ', '/s', '0B/s'])(
    '%j is no rate',
    (text) => expect(parseRate(text)).toBeUndefined(),
  )
  it.each(['', '5', '101%', '-5%', '5 percent', '%'])('%j is no share', (text) =>
    expect(parseShare(text)).toBeUndefined(),
  )
  it.each(['', '5', '-1s', '1w', 's'])('%j is no duration', (text) =>
    expect(parseDuration(text)).toBeUndefined(),
  )

  it('gives a number or nothing, whatever is written', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 40 }), (text) => {
        for (const parse of [parseRate, parseDuration, parseShare]) {
          const value = parse(text)
          if (value !== undefined) expect(Number.isFinite(value) && value >= 0).toBe(true)
        }
      }),
    )
  })
})
