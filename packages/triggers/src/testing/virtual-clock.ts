/** A clock that goes when it is told to. Timers run in order of time, then of their setting. */
import type { Clock } from '@shoal/service'

interface Timer {
  readonly atMs: number
  readonly run: () => void
}

export class VirtualClock implements Clock {
  readonly #timers = new Set<Timer>()
  #nowMs: number

  constructor(nowMs = Date.UTC(2026, 4, 4)) {
    this.#nowMs = nowMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  get timerCount(): number {
    return this.#timers.size
  }

  after(durationMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, durationMs), run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Lets everything happen that happens within `durationMs`, and what follows from it. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#nowMs + durationMs
    await settled()
    for (;;) {
      const due = [...this.#timers].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.#nowMs = Math.max(this.#nowMs, due.atMs)
      due.run()
      await settled()
    }
    this.#nowMs = endMs
  }
}

/** All promises that need no timer and no I/O have been kept: those run before the event loop turns. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
