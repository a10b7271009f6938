/** How long to wait after failures, for the queue and the poller. Pure. */

export interface Backoff {
  /** After the first failure; doubled by every further one. */
  readonly firstMs: number
  readonly maxMs: number
}

/**
 * @param failures so far, at least one
 * @param random in [0, 1): spread over the upper half, so that what failed together does not come back together
 */
export function backoffMs({ firstMs, maxMs }: Backoff, failures: number, random: number): number {
  // 2 ** 52 firsts are over any maximum, and still a number that adds up.
  const wholeMs = Math.min(maxMs, firstMs * 2 ** Math.min(52, failures - 1))
  return Math.round(wholeMs * (0.5 + random / 2))
}
