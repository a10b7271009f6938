/** SHA-1 and SHA-256 of every piece of one length, while the bytes arrive. */
import { createHash, type Hash } from 'node:crypto'

export class PieceHasher {
  readonly #sha1: Uint8Array[] = []
  readonly #sha256: Uint8Array[] = []
  #piece: { sha1: Hash; sha256: Hash } | undefined
  #filled = 0

  readonly pieceLength: number

  constructor(pieceLength: number) {
    this.pieceLength = pieceLength
  }

  update(chunk: Uint8Array): void {
    for (let offset = 0; offset < chunk.length; ) {
      const part = chunk.subarray(offset, offset + this.pieceLength - this.#filled)
      this.#piece ??= { sha1: createHash('sha1'), sha256: createHash('sha256') }
      this.#piece.sha1.update(part)
      this.#piece.sha256.update(part)
      this.#filled += part.length
      offset += part.length
      if (this.#filled === this.pieceLength) this.#endPiece()
    }
  }

  /** The pieces so far, of which the last may be short; more can be added afterwards. */
  peek(): { piecesSha1: Uint8Array; piecesSha256: Uint8Array } {
    const last = this.#piece
    return {
      piecesSha1: joined(last === undefined ? this.#sha1 : [...this.#sha1, last.sha1.copy().digest()]),
      piecesSha256: joined(
        last === undefined ? this.#sha256 : [...this.#sha256, last.sha256.copy().digest()],
      ),
    }
  }

  #endPiece(): void {
    const { sha1, sha256 } = this.#piece!
    this.#sha1.push(sha1.digest())
    this.#sha256.push(sha256.digest())
    this.#piece = undefined
    this.#filled = 0
  }
}

// A plain Uint8Array, as core's values are: a Buffer would compare unequal to it in tests and share Node's pool.
function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
