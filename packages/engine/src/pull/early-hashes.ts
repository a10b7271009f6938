/**
 * Hashes of pieces of arriving blobs that this node has not begun with yet, or has left: the stream tells of them before the
 * answer that says what they are. The latest are kept. Pure.
 */
import type { InfoHash } from '@shoal/core'
import { PULL_LIMITS } from './limits.ts'

/** SHA-256 of neighbouring pieces, from piece `first` on. */
export interface PieceHashes {
  readonly first: number
  readonly sha256: Uint8Array
}

export class EarlyHashes {
  readonly #kept = new Map<string, PieceHashes & { readonly infoHash: InfoHash }>()
  #bytes = 0

  told(infoHash: InfoHash, { first, sha256 }: PieceHashes): void {
    const key = `${infoHash} ${first}`
    this.#forget(key)
    // A copy: what was decoded is a view of its whole frame.
    this.#kept.set(key, { infoHash, first, sha256: Uint8Array.from(sha256) })
    this.#bytes += sha256.length
    const { earlyHashesMax, earlyHashesBytesMax } = PULL_LIMITS
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= earlyHashesMax && this.#bytes <= earlyHashesBytesMax) break
      this.#forget(oldest)
    }
  }

  /** What was told of a blob that is being begun with. */
  take(infoHash: InfoHash): PieceHashes[] {
    const own = [...this.#kept].filter(([, kept]) => kept.infoHash === infoHash)
    for (const [key] of own) this.#forget(key)
    return own.map(([, { first, sha256 }]) => ({ first, sha256 }))
  }

  #forget(key: string): void {
    this.#bytes -= this.#kept.get(key)?.sha256.length ?? 0
    this.#kept.delete(key)
  }
}
