/** How fast a cache is read through in search of what its disk has spoilt. Pure. */

/** Within so long everything in the cache was looked at once. */
export const SCRUB_PERIOD_MS = 7 * 24 * 60 * 60 * 1_000
/** However little there is, and however much. */
export const SCRUB_RATE = { bytesPerSecondMin: 64 * 1024, bytesPerSecondMax: 8 * 1024 * 1024 }

/** How long to wait after a piece of `pieceBytes`, of a cache of `cacheBytes`, in ms. */
export function scrubPauseMs(cacheBytes: number, pieceBytes: number): number {
  const { bytesPerSecondMin, bytesPerSecondMax } = SCRUB_RATE
  const wanted = (cacheBytes / SCRUB_PERIOD_MS) * 1_000
  return (pieceBytes / Math.min(bytesPerSecondMax, Math.max(bytesPerSecondMin, wanted))) * 1_000
}
