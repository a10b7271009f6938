/**
 * Pieces that could not be kept on disk and are wanted: the last few, in memory. Readers of one blob are mostly close to each
 * other, and each of them asks for a part of a piece at a time. Pure.
 */
import type { Digest } from '@shoal/core'

/** Windows of some readers; what is forgotten is read from the origin again. */
export const PASSING_BYTES_MAX = 64 * 1024 * 1024

export class PassingPieces {
  readonly #bytesMax: number
  readonly #pieces = new Map<string, Uint8Array>()
  #bytes = 0

  constructor(init: { readonly bytesMax: number } = { bytesMax: PASSING_BYTES_MAX }) {
    this.#bytesMax = init.bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  get(digest: Digest, pieceIndex: number): Uint8Array | undefined {
    const key = keyOf(digest, pieceIndex)
    const bytes = this.#pieces.get(key)
    if (bytes === undefined) return undefined
    // A Map iterates in order of insertion: what was asked for last goes last.
    this.#pieces.delete(key)
    this.#pieces.set(key, bytes)
    return bytes
  }

  add(digest: Digest, pieceIndex: number, bytes: Uint8Array): void {
    const key = keyOf(digest, pieceIndex)
    this.#remove(key)
    this.#pieces.set(key, bytes)
    this.#bytes += bytes.length
    for (const oldest of this.#pieces.keys()) {
      if (this.#bytes <= this.#bytesMax) return
      this.#remove(oldest)
    }
  }

  #remove(key: string): void {
    this.#bytes -= this.#pieces.get(key)?.length ?? 0
    this.#pieces.delete(key)
  }
}

function keyOf(digest: Digest, pieceIndex: number): string {
  return `${digest}/${pieceIndex}`
}
