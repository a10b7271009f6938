/** Takes down what happens in a run: who finished when, and who sent what, over time. Pure. */
import { assert } from '@shoal/core'
import { boundSeconds, type Scenario, type StrategyName } from './scenario.ts'
import type { StrategyRun, TimelinePoint } from './strategy-run.ts'

/** Points of a timeline per bound. */
const POINTS_PER_BOUND = 100
const POINTS_MAX = 2_000
/** Blocks are counted when they have arrived: fewer points would show a rate that no link has. */
const PEAK_POINTS = 8

export interface RunTotals {
  readonly unfinished: number
  readonly crossZoneBytes: readonly number[]
  readonly seederSentBytes: number
  readonly swarmSentBytes: number
}

export class Measure {
  readonly #finishSeconds: number[] = []
  readonly #timeline: TimelinePoint[] = []
  #stepMs: number
  #nextPointMs = 0
  #peerBytes = 0
  #seederBytes = 0
  #originToNodesBytes = 0
  originBytes = 0
  originRequests = 0

  constructor(scenario: Scenario) {
    this.#stepMs = (boundSeconds(scenario) * 1000) / POINTS_PER_BOUND
  }

  get completedNodes(): number {
    return this.#finishSeconds.length
  }

  get receivedBytes(): number {
    return this.#peerBytes + this.#seederBytes + this.#originToNodesBytes
  }

  /** Payload that a node has received. */
  received(from: 'peer' | 'seeder' | 'origin', bytes: number): void {
    if (from === 'peer') this.#peerBytes += bytes
    else if (from === 'seeder') this.#seederBytes += bytes
    else this.#originToNodesBytes += bytes
  }

  /** @param ms from the node's own start */
  finished(ms: number): void {
    assert(ms >= 0, 'a node finishes after it has started')
    this.#finishSeconds.push(ms / 1000)
  }

  /** To be called whenever time has passed. */
  passed(nowMs: number): void {
    if (nowMs < this.#nextPointMs) return
    this.#point(nowMs)
    // What takes long is shown coarser.
    if (this.#timeline.length >= POINTS_MAX) {
      this.#stepMs *= 2
      for (let i = this.#timeline.length - 1; i > 0; i -= 2) this.#timeline.splice(i, 1)
    }
    this.#nextPointMs = nowMs + this.#stepMs
  }

  result(strategy: StrategyName, nowMs: number, totals: RunTotals): StrategyRun {
    this.#point(nowMs)
    return {
      strategy,
      finishSeconds: this.#finishSeconds.toSorted((a, b) => a - b),
      ...totals,
      originBytes: this.originBytes,
      originRequests: this.originRequests,
      seederPeakBytesPerSecond: this.#seederPeak(),
      timeline: this.#timeline,
    }
  }

  #point(nowMs: number): void {
    this.#timeline.push({
      atSeconds: nowMs / 1000,
      completedNodes: this.#finishSeconds.length,
      peerBytes: this.#peerBytes,
      seederBytes: this.#seederBytes,
      originBytes: this.#originToNodesBytes,
    })
  }

  #seederPeak(): number {
    let peak = 0
    for (let i = PEAK_POINTS; i < this.#timeline.length; i++) {
      const [before, after] = [this.#timeline[i - PEAK_POINTS]!, this.#timeline[i]!]
      const seconds = after.atSeconds - before.atSeconds
      if (seconds > 0) peak = Math.max(peak, (after.seederBytes - before.seederBytes) / seconds)
    }
    return peak
  }
}
