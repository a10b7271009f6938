/**
 * Waiting no longer than is wanted: until a signal aborts, or for so long. Nothing stays behind afterwards, neither a listener
 * with a signal that outlives many waits nor a timer.
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
