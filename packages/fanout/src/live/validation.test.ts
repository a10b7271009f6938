import type { StrategyRun } from '@shoal/simulator'
import { expect, it } from 'vitest'
import type { FanoutRun } from '../result.ts'
import { differencesOf } from './validation.ts'

const run = (finishSeconds: readonly number[], unfinished = 0): StrategyRun => ({
  strategy: 'shoal',
  finishSeconds,
  unfinished,
  originBytes: 0,
  originRequests: 0,
  crossZoneBytes: [0],
  seederSentBytes: 0,
  swarmSentBytes: 0,
  seederPeakBytesPerSecond: 0,
  timeline: [],
})
const both = (simulated: StrategyRun, live: StrategyRun): FanoutRun => ({
  nodes: 4,
  imageBytes: 1,
  boundSeconds: 1,
  seed: 1,
  runs: [simulated, live],
})

it('compares live with simulated times, middle and last', () => {
  expect(differencesOf(both(run([1, 2, 3, 4]), run([1, 1, 3, 6])))).toEqual([
    { of: 'p50', difference: -0.5 },
    { of: 'last', difference: 0.5 },
  ])
})

it('takes a node that never finished for infinitely late', () => {
  expect(differencesOf(both(run([1, 2]), run([1], 1))).map(({ difference }) => difference)).toEqual([
    Number.POSITIVE_INFINITY,
    Number.POSITIVE_INFINITY,
  ])
})
