/** What was promised, or the signal's reason when that aborts first. Nothing stays with the signal afterwards. */
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
