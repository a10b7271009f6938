import { DemoTimeoutError } from './errors.ts'

/**
 * Runs `work` with a signal that aborts when `signal` does or when the time is up.
 * @param doing for the message: "the push"
 * @throws DemoTimeoutError
 */
export async function withTimeLimit<T>(
  { doing, limitMs, signal }: { doing: string; limitMs: number; signal: AbortSignal },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(new DemoTimeoutError(doing, limitMs)), limitMs)
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
