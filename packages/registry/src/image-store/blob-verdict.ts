/** What garbage collection does with one blob. Pure. */
import type { BlobRecord } from './layout.ts'

export type BlobVerdict =
  /** It stays as it is. */
  | 'keep'
  /** Nothing needs it: said first, so that a push in flight can object. */
  | 'condemn'
  /** It was condemned, and is needed after all. */
  | 'rescue'
  /** It was condemned, and nobody objected. */
  | 'remove'
  /** It was removed a moment ago. */
  | 'gone'
  /** It was removed so long ago that its record can go as well. */
  | 'bury'

/**
 * @param now.isNeeded a manifest names it
 * @param now.leaseEndedBeforeMs a grace before the manifests were looked through
 */
export function judgeBlob(
  { leasedAtMs, condemnedAtMs, removedAtMs }: BlobRecord,
  now: { readonly isNeeded: boolean; readonly leaseEndedBeforeMs: number },
): BlobVerdict {
  if (removedAtMs !== undefined) return removedAtMs < now.leaseEndedBeforeMs ? 'bury' : 'gone'
  if (now.isNeeded) return condemnedAtMs === undefined ? 'keep' : 'rescue'
  if (condemnedAtMs !== undefined) return 'remove'
  return leasedAtMs < now.leaseEndedBeforeMs ? 'condemn' : 'keep'
}
