/** A blob for tests: random bytes with their metainfo, and places in memory that hold all, some or wrong pieces of it. */
import { createHash, hash } from 'node:crypto'
import { Bitfield, createPrng, type Metainfo, parseDigest, pieceCount } from '@shoal/core'
import type { StoredBlob } from '@shoal/storage'

export interface TestBlob {
  readonly bytes: Buffer
  readonly metainfo: Metainfo
}

/** @param pieceLength a quarter MiB unless told, whatever the rule for the length is */
export function testBlob(length: number, seed: number, pieceLength = 256 * 1024): TestBlob {
  const prng = createPrng(seed)
  const bytes = Buffer.from(Uint8Array.from({ length }, () => prng.below(256)))
  const pieces = Array.from({ length: Math.ceil(length / pieceLength) }, (_, index) =>
    bytes.subarray(index * pieceLength, (index + 1) * pieceLength),
  )
  return {
    bytes,
    metainfo: {
      digest: parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`),
      length,
      pieceLength,
      piecesSha1: Buffer.concat(pieces.map((piece) => hash('sha1', piece, 'buffer'))),
      piecesSha256: Buffer.concat(pieces.map((piece) => hash('sha256', piece, 'buffer'))),
    },
  }
}

export class MemoryPieces implements StoredBlob {
  readonly metainfo: Metainfo
  readonly have: Bitfield
  readonly bytes: Buffer
  readonly writes: number[] = []
  signature: Uint8Array | undefined
  isComplete = false

  /** @param indexes the pieces that are there from the beginning */
  constructor(blob: TestBlob, indexes: readonly number[]) {
    this.metainfo = blob.metainfo
    this.have = new Bitfield(pieceCount(blob.metainfo))
    this.bytes = Buffer.alloc(blob.metainfo.length)
    for (const index of indexes) {
      const start = index * blob.metainfo.pieceLength
      blob.bytes.copy(this.bytes, start, start, start + blob.metainfo.pieceLength)
      this.have.set(index)
    }
  }

  static all(blob: TestBlob): MemoryPieces {
    return new MemoryPieces(blob, [...Array(pieceCount(blob.metainfo)).keys()])
  }

  static none(blob: TestBlob): MemoryPieces {
    return new MemoryPieces(blob, [])
  }

  async writePiece(index: number, parts: readonly Uint8Array[]): Promise<void> {
    this.writes.push(index)
    Buffer.concat(parts).copy(this.bytes, index * this.metainfo.pieceLength)
    this.have.set(index)
  }

  async readInto(start: number, parts: readonly Uint8Array[]): Promise<void> {
    let offset = start
    for (const part of parts) {
      part.set(this.bytes.subarray(offset, offset + part.length))
      offset += part.length
    }
  }

  async check(): Promise<boolean> {
    return true
  }

  hashAhead(): void {}

  async complete(): Promise<void> {
    const digest = `sha256:${createHash('sha256').update(this.bytes).digest('hex')}`
    if (digest !== this.metainfo.digest) throw new Error('the pieces do not make up the blob')
    this.isComplete = true
  }
}
