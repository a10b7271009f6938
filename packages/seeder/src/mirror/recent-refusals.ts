/**
 * What another registry has just said no to, so that 500 nodes that ask for a name that does not exist are one question.
 * Bounded; the oldest go first.
 */
export class RecentRefusals {
  readonly #untilMs = new Map<string, number>()

  readonly #init: { readonly ageMs: number; readonly countMax: number }

  constructor(init: { readonly ageMs: number; readonly countMax: number }) {
    this.#init = init
  }

  has(key: string, nowMs: number): boolean {
    const untilMs = this.#untilMs.get(key)
    if (untilMs === undefined) return false
    if (untilMs > nowMs) return true
    this.#untilMs.delete(key)
    return false
  }

  add(key: string, nowMs: number): void {
    this.#untilMs.delete(key)
    this.#untilMs.set(key, nowMs + this.#init.ageMs)
    if (this.#untilMs.size > this.#init.countMax) this.#untilMs.delete(this.#untilMs.keys().next().value!)
  }

  delete(key: string): void {
    this.#untilMs.delete(key)
  }
}
