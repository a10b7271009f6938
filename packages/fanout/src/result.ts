/**
 * What a fan-out came to, simulated or live: when each node had the image, and who sent what. Pure.
 */
import { assert } from '@shoal/core'
import type { StrategyRun } from '@shoal/simulator'

export interface FanoutRun {
  readonly nodes: number
  readonly imageBytes: number
  /** Image bytes ÷ one node's link: the least time possible. */
  readonly boundSeconds: number
  readonly seed: number
  readonly runs: readonly StrategyRun[]
}

/** The line of JSON that other programs read: the last one of standard output. */
export interface FanoutReport {
  readonly nodes: number
  readonly imageBytes: number
  readonly boundSeconds: number
  readonly seed: number
  readonly results: readonly StrategyReport[]
}

export interface StrategyReport {
  readonly strategy: string
  /** Seconds; null when no node finished. */
  readonly p50: number | null
  readonly p90: number | null
  readonly p99: number | null
  readonly p999: number | null
  readonly last: number | null
  readonly unfinished: number
  readonly originBytes: number
  readonly originRequests: number
  readonly crossZoneBytes: readonly number[]
  readonly seederSentBytes: number
}

export function reportOf({ nodes, imageBytes, boundSeconds, seed, runs }: FanoutRun): FanoutReport {
  return {
    nodes,
    imageBytes,
    boundSeconds,
    seed,
    results: runs.map((run) => ({
      strategy: run.strategy,
      p50: quantile(run.finishSeconds, 0.5),
      p90: quantile(run.finishSeconds, 0.9),
      p99: quantile(run.finishSeconds, 0.99),
      p999: quantile(run.finishSeconds, 0.999),
      last: run.finishSeconds.at(-1) ?? null,
      unfinished: run.unfinished,
      originBytes: run.originBytes,
      originRequests: run.originRequests,
      crossZoneBytes: run.crossZoneBytes,
      seederSentBytes: run.seederSentBytes,
    })),
  }
}

/** The least value that at least `share` of all values do not exceed (nearest rank); null of nothing. */
export function quantile(ascending: readonly number[], share: number): number | null {
  assert(share > 0 && share <= 1, 'a share is more than nothing and at most all')
  return ascending[Math.max(0, Math.ceil(share * ascending.length) - 1)] ?? null
}
