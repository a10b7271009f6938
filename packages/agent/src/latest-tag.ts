/**
 * Which of several genuine records says what a tag means, while nobody but the seeder's clock has dated them. Pure.
 *
 * A clock that once ran ahead has dated records that would win over everything said since. A record from the future therefore
 * counts as older than any other.
 */
import type { SignedTag } from '@shoal/wire'

/** Nodes' clocks agree to within seconds; NTP gives up on a clock that is further off than minutes. */
const AHEAD_MAX_MS = 60_000

export function isDatedAhead({ record }: SignedTag, nowMs: number): boolean {
  return record.issuedAtMs > nowMs + AHEAD_MAX_MS
}

/** Of equal ones the first. */
export function latestTag(records: readonly SignedTag[], nowMs: number): SignedTag | undefined {
  const credible = records.filter((record) => !isDatedAhead(record, nowMs))
  const [first, ...others] = credible.length > 0 ? credible : records
  return others.reduce(
    (latest, each) => (each.record.issuedAtMs > latest!.record.issuedAtMs ? each : latest),
    first,
  )
}
