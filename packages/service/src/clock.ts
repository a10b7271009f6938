/** Time, as an argument: what waits is tested without waiting. */
export interface Clock {
  /** Since 1970: for what is written down or told to others. The system may set it forward and back. */
  nowMs(): number
  /** Calls `run` once, later. @returns forgets it; safe to call at any time */
  after(durationMs: number, run: () => void): () => void
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  after(durationMs, run) {
    // What waits here is never the reason for a process to stay.
    const timer = setTimeout(run, durationMs).unref()
    return () => clearTimeout(timer)
  },
}

/** Only goes forward, from wherever: for how long something takes. */
export function steadyMs(): number {
  return performance.now()
}
