/**
 * Whether this node's clock and the seeder's agree. Pure.
 *
 * The seeder's clock is known to whole seconds, so what is within a second counts as equal: the least difference that
 * explains what was heard is judged.
 */
import { type Finding, failure, ok, warning } from '../check-result.ts'
import type { ClockSample } from '../look-at-seeder.ts'

/** NTP keeps clocks within milliseconds: from here on nobody keeps this one, and logs of two machines cannot be put in order. */
export const CLOCK_WARNING_MS = 5_000
/** S3 refuses requests that are more than 15 min off, and certificates and tokens that were just issued are not valid yet. */
export const CLOCK_FAILURE_MS = 15 * 60_000
/** `Date` has whole seconds, and servers that keep its text for a second are up to one behind. */
const DATE_RESOLUTION_MS = 1_000

export function judgeClock({ theirsMs, sentAtMs, receivedAtMs }: ClockSample): Finding {
  // This machine's time less the seeder's, at the moment when the seeder read its clock.
  const latest = receivedAtMs - theirsMs
  const earliest = sentAtMs - theirsMs - DATE_RESOLUTION_MS
  const leastMs = earliest > 0 ? earliest : latest < 0 ? latest : 0
  const measured = {
    differenceMs: leastMs,
    uncertaintyMs: latest - earliest,
    warningFromMs: CLOCK_WARNING_MS,
    failureFromMs: CLOCK_FAILURE_MS,
  }
  const offMs = Math.abs(leastMs)
  const side = leastMs > 0 ? 'ahead of' : 'behind'
  const told = `${(offMs / 1000).toFixed(offMs < 10_000 ? 1 : 0)} s ${side} the seeder’s`
  const advice = 'Have both machines’ clocks kept by NTP (timedatectl, chronyc tracking).'
  if (offMs >= CLOCK_FAILURE_MS) return failure(told, advice, measured)
  if (offMs >= CLOCK_WARNING_MS) return warning(told, advice, measured)
  return ok(leastMs === 0 ? 'as the seeder’s, as far as can be told (1 s)' : told, measured)
}
