/**
 * Blobs of other registries, fetched when somebody wants them. What a registry has just said no to is not asked for again;
 * who has read in a manifest how long a blob is notes it, so that whoever asks for the blob is told before its registry has
 * answered.
 */
import type { Digest } from '@shoal/core'
import { UpstreamBusyError } from '@shoal/registry-client'
import { LRUCache } from 'lru-cache'
import type { AwaitedBlob } from './awaited-blob.ts'
import type { BlobFetches } from './blob-fetches.ts'
import { REFUSAL_AGE_MS, type RecentRefusals } from './recent-refusals.ts'
import type { UpstreamRepository } from './upstreams.ts'

export interface MirroredBlobsParts {
  readonly fetches: BlobFetches
  readonly refusals: RecentRefusals
  readonly nowMs: () => number
}

/** A registry that asks to be left alone for longer is asked again for a blob then. */
const BUSY_AGE_MS_MAX = 60_000
/** Lengths that manifests say of blobs. */
const LENGTHS_MAX = 20_000

export class MirroredBlobs {
  readonly #parts: MirroredBlobsParts
  /** By name and digest; those that were said last. */
  readonly #lengths = new LRUCache<string, number>({ max: LENGTHS_MAX })

  constructor(parts: MirroredBlobsParts) {
    this.#parts = parts
  }

  /**
   * The blob on its way, begun where nobody has before.
   * @param length where a manifest says it
   * @returns undefined for what its registry has just refused
   */
  fetch(from: UpstreamRepository, digest: Digest, length?: number): AwaitedBlob | undefined {
    const { fetches, refusals, nowMs } = this.#parts
    const key = `${from.name}@${digest}`
    if (refusals.has(key, nowMs())) return undefined
    if (length !== undefined) this.#lengths.set(key, length)
    const said = length ?? this.#lengths.peek(key)
    const blob = fetches.find(from.name, digest) ?? fetches.begin(from, digest, said)
    blob.whole.then(
      (isThere) => isThere || refusals.add(key, nowMs() + REFUSAL_AGE_MS),
      (error: unknown) => {
        const busyMs = error instanceof UpstreamBusyError ? error.retryAtMs - nowMs() : 0
        refusals.add(key, nowMs() + Math.min(BUSY_AGE_MS_MAX, Math.max(REFUSAL_AGE_MS, busyMs)))
      },
    )
    return blob
  }
}
