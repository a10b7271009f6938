/**
 * The pieces of a blob that the seeder is still receiving: each can be had by agents as soon as it is here whole, and is known
 * by its own hash. Whether the blob is what it should be is known only at its end: until then agents keep what they have
 * to themselves.
 */
import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import {
  assert,
  Bitfield,
  type Digest,
  type InfoHash,
  learnPieceSha256,
  type Metainfo,
  pieceBytes,
  pieceCount,
  unknownMetainfo,
} from '@shoal/core'
import { arrivalHashOf, FILE_MODE } from '@shoal/storage'
import type { SwarmPieces } from '@shoal/swarm'

export interface StreamingCopyParts {
  readonly path: string
  readonly digest: Digest
  readonly length: number
  /** A piece is here, and its hash is known. */
  readonly onPiece: (index: number) => void
}

export class StreamingCopy implements SwarmPieces {
  readonly infoHash: InfoHash
  readonly metainfo: Metainfo
  readonly have: Bitfield
  readonly #path: string
  readonly #handle: FileHandle
  readonly #onPiece: (index: number) => void
  #received = 0
  #hash: Hash | undefined
  #isClosed = false

  static async create(parts: StreamingCopyParts): Promise<StreamingCopy> {
    return new StreamingCopy(parts, await open(parts.path, 'w+', FILE_MODE))
  }

  private constructor({ path, digest, length, onPiece }: StreamingCopyParts, handle: FileHandle) {
    this.metainfo = unknownMetainfo(digest, length)
    this.infoHash = arrivalHashOf(digest, length)
    this.have = new Bitfield(pieceCount(this.metainfo))
    this.#path = path
    this.#handle = handle
    this.#onPiece = onPiece
  }

  /** Pieces come in order: so many are here from the beginning. */
  get pieceCount(): number {
    return this.have.setCount
  }

  /** Hashes of the pieces that are here, in order; a view. */
  get sha256(): Uint8Array {
    return this.metainfo.piecesSha256.subarray(0, 32 * this.pieceCount)
  }

  /** The next bytes. More than were announced are for whoever checks the digest to refuse. */
  async append(chunk: Uint8Array): Promise<void> {
    const { length } = this.metainfo
    const bytes = chunk.subarray(0, Math.max(0, length - this.#received))
    if (bytes.length === 0 || this.#isClosed) return
    await this.#handle.write(bytes, 0, bytes.length, this.#received)
    for (let offset = 0; offset < bytes.length; ) {
      const index = Math.floor(this.#received / this.metainfo.pieceLength)
      const pieceEnd = index * this.metainfo.pieceLength + pieceBytes(this.metainfo, index)
      const part = bytes.subarray(offset, offset + pieceEnd - this.#received)
      this.#hash ??= createHash('sha256')
      this.#hash.update(part)
      this.#received += part.length
      offset += part.length
      if (this.#received === pieceEnd) this.#endPiece(index)
    }
  }

  async writePiece(): Promise<void> {
    throw new Error('the seeder receives the blob itself; nobody can give it a piece')
  }

  async readInto(start: number, parts: readonly Uint8Array[]): Promise<void> {
    let position = start
    for (const part of parts) {
      const { bytesRead } = await this.#handle.read(part, 0, part.length, position)
      assert(bytesRead === part.length, 'only pieces that are here are read')
      position += bytesRead
    }
  }

  async remove(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#handle.close()
    await rm(this.#path, { force: true })
  }

  #endPiece(index: number): void {
    learnPieceSha256(this.metainfo, index, this.#hash!.digest())
    this.#hash = undefined
    this.have.set(index)
    this.#onPiece(index)
  }
}
