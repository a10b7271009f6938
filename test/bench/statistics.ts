/** What is made of the numbers of several runs. Pure. */

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** @param values at least one */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const upper = sorted[Math.floor(sorted.length / 2)]
  const lower = sorted[Math.ceil(sorted.length / 2) - 1]
  if (lower === undefined || upper === undefined) throw new RangeError('nothing has no median')
  return (lower + upper) / 2
}

/** Rounded as {@link rounded} does. */
export function spread(values: readonly number[]): Spread {
  return {
    median: rounded(median(values)),
    min: rounded(Math.min(...values)),
    max: rounded(Math.max(...values)),
  }
}

/**
 * The median of the quotients of pairs that were measured one right after the other: what slowed the machine for a while
 * slowed both.
 * @returns null when either side was not measured
 */
export function pairedRatio(
  numerators: readonly number[] | undefined,
  denominators: readonly number[] | undefined,
): number | null {
  if (numerators === undefined || denominators === undefined) return null
  const pairs = Math.min(numerators.length, denominators.length)
  if (pairs === 0) return null
  return rounded(median(numerators.slice(0, pairs).map((value, i) => value / denominators[i]!)))
}

/** Three digits after the point: more than any of these measurements is good for. */
export function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}

/** Megabytes (10⁶) per second. */
export function megabytesPerSecond(bytes: number, seconds: number): number {
  return bytes / 1e6 / seconds
}

const GIB = 2 ** 30

/** What a transfer of 1 GiB costs, of what `bytes` cost. */
export function perGiB(amount: number, bytes: number): number {
  return rounded((amount * GIB) / bytes)
}
