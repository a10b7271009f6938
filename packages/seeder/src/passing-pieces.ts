/**
 * Pieces that could not be kept on disk and are wanted: the last few, in memory. Readers of one blob are mostly close to each
 * other, and each of them asks for a part of a piece at a time. Pure.
 */
import type { Digest } from '@shoal/core'
import { LRUCache } from 'lru-cache'

/** Windows of some readers; what is forgotten is read from the origin again. */
export const PASSING_BYTES_MAX = 64 * 1024 * 1024

export class PassingPieces {
  readonly #pieces: LRUCache<string, Uint8Array>

  constructor({ bytesMax } = { bytesMax: PASSING_BYTES_MAX }) {
    this.#pieces = new LRUCache({ maxSize: bytesMax, sizeCalculation: ({ length }) => length })
  }

  get bytes(): number {
    return this.#pieces.calculatedSize
  }

  get(digest: Digest, pieceIndex: number): Uint8Array | undefined {
    return this.#pieces.get(keyOf(digest, pieceIndex))
  }

  add(digest: Digest, pieceIndex: number, bytes: Uint8Array): void {
    this.#pieces.set(keyOf(digest, pieceIndex), bytes)
  }
}

function keyOf(digest: Digest, pieceIndex: number): string {
  return `${digest}/${pieceIndex}`
}
