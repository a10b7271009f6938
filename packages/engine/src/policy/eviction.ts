/**
 * Which blobs leave a full cache. Pure.
 * Least recently used first; among equals the larger, which makes room with fewer victims, then the digest's order.
 */
import type { Digest } from '@shoal/core'

export interface EvictionCandidate {
  readonly digest: Digest
  readonly bytes: number
  readonly lastUsedAtMs: number
  /** Being read or written: never chosen. */
  readonly isBusy: boolean
}

/** @returns the digests to remove so that at most `bytesMax` remain, or as near to it as busy blobs allow */
export function chooseVictims(candidates: readonly EvictionCandidate[], bytesMax: number): Digest[] {
  let bytes = candidates.reduce((sum, candidate) => sum + candidate.bytes, 0)
  const order = candidates
    .filter((candidate) => !candidate.isBusy)
    .sort((a, b) => a.lastUsedAtMs - b.lastUsedAtMs || b.bytes - a.bytes || (a.digest < b.digest ? -1 : 1))
  const victims: Digest[] = []
  for (const candidate of order) {
    if (bytes <= bytesMax) break
    victims.push(candidate.digest)
    bytes -= candidate.bytes
  }
  return victims
}
