/**
 * Waiting no longer than is wanted: until a signal aborts, for so long, or with an error of one's own when the time is up.
 * Nothing stays behind afterwards, neither a listener with a signal that outlives many waits nor a timer.
 */

/** What was promised, or the signal's reason when that aborts first: what was waited for goes on. */
export async function orAborted<T>(promised: T, signal: AbortSignal): Promise<Awaited<T>> {
  const cut = Promise.withResolvers<never>()
  const abort = () => cut.reject(signal.reason)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort)
  try {
    return await Promise.race([promised, cut.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** What comes of `awaited` if it is settled in time; undefined where it is not, and then whoever awaits it later hears of it. */
export async function within<T>(awaited: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  try {
    return await Promise.race([awaited, late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Runs `work` with a signal that aborts when the time is up, or when `signal` does. It is the work that ends then: this waits
 * for it, so that nothing of it goes on unseen.
 *
 * @param overdue the error when the time is up: whatever aborted work throws, why it was aborted says more
 */
export async function withTimeLimit<T>(
  { limitMs, overdue, signal }: { limitMs: number; overdue: () => Error; signal?: AbortSignal },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(overdue()), limitMs)
  try {
    return await work(signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]))
  } catch (error) {
    signal?.throwIfAborted()
    limit.signal.throwIfAborted()
    throw error
  } finally {
    clearTimeout(timer)
  }
}
