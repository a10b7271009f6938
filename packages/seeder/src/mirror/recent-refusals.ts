/**
 * What another registry has just said no to, so that 500 nodes that ask for a name that does not exist are one question.
 * Bounded; the oldest go first.
 */
import { LRUCache } from 'lru-cache'

/** A registry is asked again for what it refused, after so long. */
export const REFUSAL_AGE_MS = 10_000
const REFUSALS_MAX = 10_000

export class RecentRefusals {
  readonly #untilMs = new LRUCache<string, number>({ max: REFUSALS_MAX })

  has(key: string, nowMs: number): boolean {
    const untilMs = this.#untilMs.peek(key)
    if (untilMs === undefined) return false
    if (untilMs > nowMs) return true
    this.#untilMs.delete(key)
    return false
  }

  /** @param untilMs until when what was refused is not asked for again */
  add(key: string, untilMs: number): void {
    this.#untilMs.set(key, untilMs)
  }
}
