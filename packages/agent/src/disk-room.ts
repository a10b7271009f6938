/**
 * Whether a blob can be kept on the cache's disk, and what has to go for it. Pure.
 *
 * The disk may hold less than `cacheMaxBytes` says, or be filled by others: blobs are asked for room on it one by one, and what
 * finds none is given to clients without being kept. Unfinished blobs that nobody fetches give way first, then the least recently
 * used; nothing goes for a blob that would not fit even so.
 */

import type { Digest } from '@shoal/core'
import { chooseVictims, type EvictionCandidate } from '@shoal/engine'

/** For manifests, tags and what describes blobs. */
export const DISK_RESERVE_BYTES = 4 * 1024 * 1024

export interface RoomCandidate extends EvictionCandidate {
  readonly isComplete: boolean
  /** Of its bytes, those that are on disk. */
  readonly writtenBytes: number
}

export interface RoomWanted {
  readonly neededBytes: number
  readonly freeBytes: number
  /** What downloads that go on will still write. */
  readonly outstandingBytes: number
  readonly candidates: readonly RoomCandidate[]
}

export type Room = { readonly kind: 'room'; readonly victims: readonly Digest[] } | { readonly kind: 'none' }

export function roomFor({ neededBytes, freeBytes, outstandingBytes, candidates }: RoomWanted): Room {
  const lackingBytes = neededBytes + outstandingBytes + DISK_RESERVE_BYTES - freeBytes
  if (lackingBytes <= 0) return { kind: 'room', victims: [] }
  const idle = candidates.filter(({ isBusy }) => !isBusy)
  const heldBytes = idle.reduce((bytes, { writtenBytes }) => bytes + writtenBytes, 0)
  if (heldBytes < lackingBytes) return { kind: 'none' }
  const order = idle.map((candidate) => ({
    ...candidate,
    bytes: candidate.writtenBytes,
    lastUsedAtMs: candidate.isComplete ? candidate.lastUsedAtMs : Number.NEGATIVE_INFINITY,
  }))
  return { kind: 'room', victims: chooseVictims(order, heldBytes - lackingBytes) }
}
