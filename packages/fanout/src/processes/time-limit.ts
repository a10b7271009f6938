import type { RunTimeoutError } from './errors.ts'

export interface TimeLimit {
  /** For the message: "the push". */
  readonly doing: string
  readonly limitMs: number
  readonly signal: AbortSignal
  readonly Timeout: new (doing: string, limitMs: number) => RunTimeoutError
}

/**
 * Runs `work` with a signal that aborts when `signal` does or when the time is up.
 * @throws RunTimeoutError
 */
export async function withTimeLimit<T>(
  { doing, limitMs, signal, Timeout }: TimeLimit,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(new Timeout(doing, limitMs)), limitMs)
  try {
    return await work(AbortSignal.any([signal, limit.signal]))
  } catch (error) {
    // Whatever an aborted piece of work throws, why it was aborted says more.
    signal.throwIfAborted()
    limit.signal.throwIfAborted()
    throw error
  } finally {
    clearTimeout(timer)
  }
}
