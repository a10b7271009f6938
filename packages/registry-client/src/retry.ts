/** Asks again where that can help. Time and chance are arguments. */
import { UpstreamUnavailableError } from './errors.ts'

export interface Patience {
  readonly retriesMax: number
  readonly retryDelayMs: number
  /** In [0, 1). */
  readonly random: () => number
  /** Resolves after so long, or rejects with the signal's reason. */
  readonly pause: (durationMs: number, signal: AbortSignal) => Promise<void>
}

/** Runs `work` until it succeeds, fails for good, or was repeated `retriesMax` times. `work` must be safe to repeat. */
export async function retrying<T>(
  patience: Patience,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  for (let retries = 0; ; retries++) {
    try {
      return await work()
    } catch (error) {
      const mayHelp = error instanceof UpstreamUnavailableError && error.isPassing
      if (!mayHelp || retries >= patience.retriesMax || signal.aborted) throw error
      const delayMs = patience.retryDelayMs * 2 ** retries
      // Half is left to chance, so that nodes that failed together do not come back together.
      await patience.pause(Math.round(delayMs * (0.5 + patience.random() / 2)), signal)
    }
  }
}
