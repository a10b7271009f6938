/**
 * Goal: what is read off a run is what the words say.
 * Method: small runs by hand.
 */
import { describe, expect, it } from 'vitest'
import { quantile, reportOf } from './result.ts'

describe('a quantile', () => {
  it('is the nearest rank', () => {
    const values = Array.from({ length: 1000 }, (_, i) => i + 1)
    expect([0.5, 0.9, 0.99, 0.999, 1].map((share) => quantile(values, share))).toEqual([
      500, 900, 990, 999, 1000,
    ])
    expect(quantile([7], 0.001)).toBe(7)
  })

  it('of nothing is null', () => {
    expect(quantile([], 0.5)).toBeNull()
  })
})

it('says null where nobody finished', () => {
  const run = {
    strategy: 'shoal',
    finishSeconds: [],
    unfinished: 3,
    originBytes: 1,
    originRequests: 1,
    crossZoneBytes: [0],
    seederSentBytes: 0,
    swarmSentBytes: 0,
    seederPeakBytesPerSecond: 0,
    timeline: [],
  }
  const report = reportOf({ nodes: 3, imageBytes: 10, boundSeconds: 1, seed: 1, runs: [run] })
  expect(report.results[0]).toMatchObject({ p50: null, last: null, unfinished: 3 })
})
