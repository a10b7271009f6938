/**
 * How much to have asked of one peer at a time. Pure.
 *
 * Bandwidth × delay, measured as BBR does (Cardwell et al., "BBR: Congestion-Based Congestion Control", 2016): the highest
 * rate at which blocks came of late, times the shortest time that a block took from its request. Twice that keeps the peer
 * busy while requests travel, and makes the window double with every round until the rate rises no further; more would only
 * wait in the peer's queue, and could not be asked of another.
 */
import { assert } from '@shoal/core'
import { STANDARD_BLOCK_BYTES } from '@shoal/wire'

/** Of an unknown peer: enough to learn its rate from, little enough to lose. */
const FIRST_BLOCK_BYTES = 32 * 1024
/** Blocks that are asked for at least, so that the peer always has the next one. */
const BLOCKS_MIN = 2
/** Short blocks are cheap to have many of, and a window of two would measure the delay instead of the rate. */
const STANDARD_WINDOW_BYTES_MIN = 16 * STANDARD_BLOCK_BYTES
const GAIN = 2
/** A block should take no longer than this: it is the grain of timeouts and of fairness. */
const BLOCK_MS = 100
/**
 * Highest rate and shortest delay are of so many delays ago at most, and within these bounds: what a peer did in its first
 * burst should not be believed for long.
 */
const MEMORY_DELAYS = 10
const MEMORY_MS_MIN = 200
const MEMORY_MS_MAX = 5_000

/** A loaded node may pause for a second without anything being wrong; a black hole should not cost many. */
const TIMEOUT_MS_MIN = 1_500
const TIMEOUT_MS_MAX = 8_000
const UNKNOWN_TIMEOUT_MS = 3_000
/** Whoever is overdue is only asked to give back what it has not begun: that costs two messages. */
const OVERDUE_EXTRA_MS = 40

/** What was known when a block was asked for; needed when it arrives. */
export interface RequestStamp {
  readonly atMs: number
  readonly deliveredBytes: number
}

export class Pipeline {
  readonly #bytesMax: number
  #blockBytesMax = STANDARD_BLOCK_BYTES
  #outstandingBytes = 0
  #deliveredBytes = 0
  /** bytes/ms, of the present and the previous memory; so are delays. */
  #rates: [number, number] = [0, 0]
  #delays: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  #memorySinceMs = 0
  /** Of a block's delay, smoothed, as RFC 6298 does: mean and mean deviation; NaN while unknown. */
  #meanMs = Number.NaN
  #deviationMs = 0
  /** From one arrival to the next while something was outstanding, smoothed. */
  #msPerByte = Number.NaN
  #arrivedAtMs = 0

  /** @param bytesMax never asks for more at a time, apart from one block */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  set blockBytesMax(bytes: number) {
    this.#blockBytesMax = bytes
  }

  get outstandingBytes(): number {
    return this.#outstandingBytes
  }

  /** Bytes per ms of late; 0 while unknown. */
  get rate(): number {
    return Math.max(...this.#rates)
  }

  /** The shortest that a block took of late, ms; 0 while unknown. */
  get delayMs(): number {
    const delay = Math.min(...this.#delays)
    return delay === Number.POSITIVE_INFINITY ? 0 : delay
  }

  get windowBytes(): number {
    const least =
      this.#blockBytesMax === STANDARD_BLOCK_BYTES ? STANDARD_WINDOW_BYTES_MIN : BLOCKS_MIN * this.blockBytes
    return Math.min(this.#bytesMax, Math.max(least, GAIN * this.rate * this.delayMs))
  }

  get hasRoom(): boolean {
    return this.#outstandingBytes === 0 || this.#outstandingBytes < this.windowBytes
  }

  /** How long the next block should be: a power of two. */
  get blockBytes(): number {
    if (this.#blockBytesMax <= STANDARD_BLOCK_BYTES) return this.#blockBytesMax
    const aim = this.rate === 0 ? FIRST_BLOCK_BYTES : this.rate * BLOCK_MS
    const whole = 2 ** Math.floor(Math.log2(Math.max(STANDARD_BLOCK_BYTES, aim)))
    return Math.min(whole, this.#blockBytesMax, this.#bytesMax)
  }

  /**
   * When the first `bytes` of what is outstanding will be here, and what is beyond that if it is asked for now, ms from now;
   * undefined while nothing is known. By what the peer does as a rule: the highest rate says only what it can do.
   */
  expectedMs(bytes: number): number | undefined {
    return Number.isNaN(this.#msPerByte) ? undefined : bytes * this.#msPerByte + this.delayMs
  }

  /** Silence that is longer than usual, ms. */
  get overdueMs(): number {
    return Number.isNaN(this.#meanMs)
      ? UNKNOWN_TIMEOUT_MS / 4
      : this.#meanMs + 4 * this.#deviationMs + OVERDUE_EXTRA_MS
  }

  /** Silence after which the peer is given up for a while, ms. */
  get timeoutMs(): number {
    if (Number.isNaN(this.#meanMs)) return UNKNOWN_TIMEOUT_MS
    return Math.min(TIMEOUT_MS_MAX, Math.max(TIMEOUT_MS_MIN, 4 * this.overdueMs))
  }

  /** The peer kept nothing of what it promised: little is asked for until it has shown its rate anew. */
  reset(): void {
    this.#rates = [0, 0]
    this.#delays = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
    this.#msPerByte = Number.NaN
  }

  requested(nowMs: number, bytes: number): RequestStamp {
    this.#outstandingBytes += bytes
    return { atMs: nowMs, deliveredBytes: this.#deliveredBytes }
  }

  arrived(nowMs: number, bytes: number, stamp: RequestStamp): void {
    this.#forget(bytes)
    this.#deliveredBytes += bytes
    const memoryMs = Math.min(MEMORY_MS_MAX, Math.max(MEMORY_MS_MIN, MEMORY_DELAYS * (this.#meanMs || 0)))
    if (nowMs - this.#memorySinceMs >= memoryMs) {
      this.#memorySinceMs = nowMs
      this.#rates = [0, this.#rates[0]]
      this.#delays = [Number.POSITIVE_INFINITY, this.#delays[0]]
    }
    const delayMs = Math.max(1, nowMs - stamp.atMs)
    const msPerByte = (nowMs - Math.max(this.#arrivedAtMs, stamp.atMs)) / bytes
    this.#msPerByte = Number.isNaN(this.#msPerByte)
      ? msPerByte
      : this.#msPerByte + (msPerByte - this.#msPerByte) / 8
    this.#arrivedAtMs = nowMs
    this.#rates[0] = Math.max(this.#rates[0], (this.#deliveredBytes - stamp.deliveredBytes) / delayMs)
    this.#delays[0] = Math.min(this.#delays[0], delayMs)
    if (Number.isNaN(this.#meanMs)) {
      this.#meanMs = delayMs
      this.#deviationMs = delayMs / 2
    } else {
      this.#deviationMs += (Math.abs(delayMs - this.#meanMs) - this.#deviationMs) / 4
      this.#meanMs += (delayMs - this.#meanMs) / 8
    }
  }

  /** It will not come, or is not waited for. */
  given(bytes: number): void {
    this.#forget(bytes)
  }

  #forget(bytes: number): void {
    this.#outstandingBytes -= bytes
    assert(this.#outstandingBytes >= 0, 'no more arrives than was asked for')
  }
}
