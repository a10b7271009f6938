/**
 * Holds a rate by letting the owner spend only what has dripped in. Pure: time is an argument.
 *
 * Spending is allowed as long as anything is left, however much the next thing costs, and the debt is waited off: so a
 * bucket smaller than one piece still lets pieces through, at the right rate on average.
 */
import { assert } from '@shoal/core'

/** Milliseconds' worth of the rate that may be spent at once after a pause, unless its owner says otherwise. */
const BURST_MS = 250

export class TokenBucket {
  readonly #bytesPerMs: number
  readonly #burstMs: number
  #tokens: number
  #atMs: number

  /** @param bytesPerSecond of bytes or of whatever else is counted; Infinity for no limit */
  constructor(bytesPerSecond: number, nowMs: number, burstMs = BURST_MS) {
    assert(bytesPerSecond > 0, 'a rate is more than nothing')
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#burstMs = burstMs
    this.#tokens = this.#bytesPerMs * burstMs
    this.#atMs = nowMs
  }

  /** Whether something may be spent now. */
  hasAny(nowMs: number): boolean {
    if (this.#bytesPerMs === Number.POSITIVE_INFINITY) return true
    this.#drip(nowMs)
    return this.#tokens > 0
  }

  /** Whether nothing was spent for so long that no more would be there if nothing ever had been. */
  isFull(nowMs: number): boolean {
    if (this.#bytesPerMs === Number.POSITIVE_INFINITY) return true
    this.#drip(nowMs)
    return this.#tokens >= this.#bytesPerMs * this.#burstMs
  }

  spend(bytes: number): void {
    if (this.#bytesPerMs !== Number.POSITIVE_INFINITY) this.#tokens -= bytes
  }

  /** What was spent and is not used after all. */
  giveBack(bytes: number): void {
    if (this.#bytesPerMs !== Number.POSITIVE_INFINITY) this.#tokens += bytes
  }

  /** When something may be spent again, in whole milliseconds. */
  nextAtMs(nowMs: number): number {
    if (this.hasAny(nowMs)) return nowMs
    return nowMs + Math.floor(-this.#tokens / this.#bytesPerMs) + 1
  }

  #drip(nowMs: number): void {
    this.#tokens = Math.min(
      this.#bytesPerMs * this.#burstMs,
      this.#tokens + (nowMs - this.#atMs) * this.#bytesPerMs,
    )
    this.#atMs = nowMs
  }
}
