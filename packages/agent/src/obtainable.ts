/**
 * Whether every blob that a client will ask for can be had from somebody, before it is told that there is such an image. Pure.
 *
 * What costs nothing is looked at first: this node's own cache, downloads that go on, and a seeder that has just answered.
 * Only while the seeder does not answer, the peers that are known to have had the blobs are asked, and then the origin.
 */
import type { Digest } from '@shoal/core'

export interface BlobProspects {
  readonly digest: Digest
  /** Every piece is on this node. */
  readonly isWhole: boolean
  /** It is being fetched, and somebody it comes from is connected. */
  readonly isFlowing: boolean
  /** Somebody who can be reached has said that he has all of it. */
  readonly isOffered: boolean
  /** It can be read from the origin without the seeder, as far as is known. */
  readonly hasOriginUrl: boolean
}

export interface Prospects {
  readonly blobs: readonly BlobProspects[]
  /** `unsure`: it may be there, and nobody has looked of late. */
  readonly seeder: 'answers' | 'unsure' | 'away'
  /** Whether there is room for what peers would send; what passes through comes from the seeder or the origin. */
  readonly canKeep: boolean
  readonly wereAsked: { readonly peers: boolean; readonly origin: boolean }
}

export type NextProof =
  | { readonly kind: 'obtainable' }
  | { readonly kind: 'ask'; readonly whom: 'seeder' }
  | { readonly kind: 'ask'; readonly whom: 'peers' | 'origin'; readonly about: readonly Digest[] }
  | { readonly kind: 'unobtainable'; readonly missing: readonly Digest[] }

export function nextProof({ blobs, seeder, canKeep, wereAsked }: Prospects): NextProof {
  const open = blobs.filter(({ isWhole, isFlowing, isOffered }) => !isWhole && !isFlowing && !isOffered)
  if (open.length === 0 || seeder === 'answers') return { kind: 'obtainable' }
  if (seeder === 'unsure') return { kind: 'ask', whom: 'seeder' }
  const about = open.map(({ digest }) => digest)
  if (canKeep && !wereAsked.peers) return { kind: 'ask', whom: 'peers', about }
  if (!wereAsked.origin && open.every(({ hasOriginUrl }) => hasOriginUrl))
    return { kind: 'ask', whom: 'origin', about }
  return { kind: 'unobtainable', missing: about }
}
