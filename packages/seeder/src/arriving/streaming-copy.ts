/**
 * The bytes of a blob that the seeder is still receiving, in a file of their own. Pieces come in any order: each can be had by
 * agents as soon as it is here whole, and is known by its own hash. Readers get bytes as they come, all but the last piece: that
 * one is held back until the digest of the whole was found right, so that nobody has a whole blob that is wrong.
 */
import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open, rm } from 'node:fs/promises'
import {
  assert,
  Bitfield,
  type Digest,
  type InfoHash,
  InvariantError,
  learnPieceSha256,
  type Metainfo,
  pieceBytes,
  pieceCount,
  unknownMetainfo,
} from '@shoal/core'
import { arrivalHashOf, type ByteRange, FILE_MODE } from '@shoal/storage'
import type { SwarmPieces } from '@shoal/swarm'
import { CopyLostError } from '../errors.ts'

export interface StreamingCopyParts {
  readonly path: string
  readonly digest: Digest
  readonly length: number
  /** A piece is here, and its hash is known. */
  readonly onPiece: (index: number) => void
  /** A reader waits for a piece of which nothing is here. */
  readonly onWanted?: (index: number) => void
}

/** A piece of which the beginning is here. */
interface PartialPiece {
  readonly hash: Hash
  bytes: number
}

/** A reader who has had all that is here. */
interface Waiting {
  /** The byte that he waits for. */
  readonly position: number
  readonly isUnconfirmed: boolean
  /** With bytes from there on that are just being written, or with none: he looks again. */
  readonly more: PromiseWithResolvers<Uint8Array | undefined>
}

/** What a reader is given at a time, at most. */
const READ_BYTES_MAX = 256 * 1024
const SHA256_BYTES = 32

export class StreamingCopy implements SwarmPieces {
  readonly infoHash: InfoHash
  readonly metainfo: Metainfo
  readonly have: Bitfield
  readonly #parts: StreamingCopyParts
  readonly #handle: FileHandle
  readonly #partial = new Map<number, PartialPiece>()
  readonly #ended = Promise.withResolvers<void>()
  #appended = 0
  #outcome: 'open' | 'right' | Error = 'open'
  readonly #waiting = new Set<Waiting>()
  #readers = 0
  #isRemoved = false

  /** @throws CopyLostError */
  static async create(parts: StreamingCopyParts): Promise<StreamingCopy> {
    try {
      return new StreamingCopy(parts, await open(parts.path, 'w+', FILE_MODE))
    } catch (cause) {
      throw new CopyLostError(parts.digest, 'not-kept', { cause })
    }
  }

  private constructor(parts: StreamingCopyParts, handle: FileHandle) {
    const { digest, length } = parts
    this.metainfo = unknownMetainfo(digest, length)
    this.infoHash = arrivalHashOf(digest, length)
    this.have = new Bitfield(pieceCount(this.metainfo))
    this.#parts = parts
    this.#handle = handle
  }

  get length(): number {
    return this.metainfo.length
  }

  get isEnded(): boolean {
    return this.#outcome !== 'open'
  }

  /** Resolves when it is known what became of the blob. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  /** Hashes of the pieces that are here from the beginning without a gap; a view. */
  get sha256(): Uint8Array {
    return this.metainfo.piecesSha256.subarray(0, SHA256_BYTES * this.have.nextMissing())
  }

  /** Pieces behind the first gap, those without a gap between them together; at most so many such. */
  later(stretchesMax: number): { readonly first: number; readonly sha256: Uint8Array }[] {
    const found: { first: number; sha256: Uint8Array }[] = []
    for (const { first, end } of stretchesOf(this.have, this.have.nextMissing())) {
      if (found.length === stretchesMax) break
      found.push({ first, sha256: this.sha256Of(first, end) })
    }
    return found
  }

  /** Hashes of the pieces from `first` to before `end`; a copy. */
  sha256Of(first: number, end: number): Uint8Array {
    return this.metainfo.piecesSha256.slice(SHA256_BYTES * first, SHA256_BYTES * end)
  }

  /** Where the bytes of piece `index` are missing from. */
  resumeAt(index: number): number {
    assert(!this.have.has(index), 'a piece that is here is not gone on with')
    return index * this.metainfo.pieceLength + (this.#partial.get(index)?.bytes ?? 0)
  }

  /**
   * Bytes of piece `index`, from where they are missing. Readers who wait for them are given them without reading them again,
   * and keep them until they ask for the next: they must stay as they are.
   * @returns how many of them belong to the piece; the others are not taken
   * @throws CopyLostError
   */
  async write(index: number, bytes: Uint8Array): Promise<number> {
    const start = this.resumeAt(index)
    const end = index * this.metainfo.pieceLength + pieceBytes(this.metainfo, index)
    const part = bytes.subarray(0, end - start)
    if (part.length === 0 || this.#isRemoved) return part.length
    let partial = this.#partial.get(index)
    if (partial === undefined) {
      partial = { hash: createHash('sha256'), bytes: 0 }
      this.#partial.set(index, partial)
    }
    try {
      for (let at = 0; at < part.length; ) {
        const { bytesWritten } = await this.#handle.write(part, at, part.length - at, start + at)
        at += bytesWritten
      }
    } catch (cause) {
      throw new CopyLostError(this.metainfo.digest, 'not-kept', { cause })
    }
    partial.hash.update(part)
    partial.bytes += part.length
    if (start + part.length === end) {
      learnPieceSha256(this.metainfo, index, partial.hash.digest())
      this.#partial.delete(index)
      this.have.set(index)
      this.#parts.onPiece(index)
    }
    this.#give(start, part)
    return part.length
  }

  /** The next bytes in order. More than were announced are for whoever checks the digest to refuse. */
  async append(chunk: Uint8Array): Promise<void> {
    for (let rest = chunk; rest.length > 0 && this.#appended < this.length; ) {
      const piece = Math.floor(this.#appended / this.metainfo.pieceLength)
      const pieceEnd = piece * this.metainfo.pieceLength + pieceBytes(this.metainfo, piece)
      // Whoever appends uses the memory again.
      const taken = await this.write(piece, new Uint8Array(rest.subarray(0, pieceEnd - this.#appended)))
      this.#appended += taken
      rest = rest.subarray(taken)
    }
  }

  /** The digest of the whole is right: the last piece is given as well. */
  confirm(): void {
    if (this.#outcome === 'open') this.#end('right')
  }

  /** Nothing more of it is given to anybody. */
  fail(error: Error): void {
    if (this.#outcome === 'open') this.#end(error)
  }

  /**
   * The bytes of the range, as they come. A chunk is overwritten when the next is asked for.
   * @throws CopyLostError, or what it failed with
   */
  read(range: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES_MAX, range.end - range.start))
    return this.#read(range, signal, (bytes) => buffer.subarray(0, bytes), false)
  }

  /** All bytes in order, the last piece too: for whoever finds out whether they are right. */
  readUnconfirmed(signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#read({ start: 0, end: this.length }, signal, (bytes) => Buffer.allocUnsafe(bytes), true)
  }

  async writePiece(): Promise<void> {
    throw new InvariantError('the seeder receives the blob itself; nobody can give it a piece')
  }

  async readInto(start: number, parts: readonly Uint8Array[]): Promise<void> {
    let position = start
    for (const part of parts) {
      const { bytesRead } = await this.#handle.read(part, 0, part.length, position)
      assert(bytesRead === part.length, 'only bytes that are here are read')
      position += bytesRead
    }
  }

  /** Readers who are at it go on with what is here, unless it has failed. */
  async remove(): Promise<void> {
    if (this.#isRemoved) return
    this.#isRemoved = true
    this.fail(new CopyLostError(this.metainfo.digest, 'ended'))
    await rm(this.#parts.path, { force: true })
    if (this.#readers === 0) await this.#handle.close()
  }

  async *#read(
    { start, end }: ByteRange,
    signal: AbortSignal,
    bufferOf: (bytes: number) => Uint8Array,
    isUnconfirmed: boolean,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#isRemoved) throw new CopyLostError(this.metainfo.digest, 'ended')
    let waiting: Waiting | undefined
    const abort = () => waiting?.more.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    this.#readers++
    try {
      for (let position = start; position < end; ) {
        signal.throwIfAborted()
        if (this.#outcome instanceof Error) throw this.#outcome
        const available = Math.min(end, this.#availableFrom(position, isUnconfirmed))
        if (available > position) {
          const chunk = bufferOf(Math.min(READ_BYTES_MAX, available - position))
          await this.readInto(position, [chunk]).catch((cause: unknown) => {
            throw new CopyLostError(this.metainfo.digest, 'not-kept', { cause })
          })
          position += chunk.length
          yield chunk
          continue
        }
        const index = Math.floor(position / this.metainfo.pieceLength)
        if (!isUnconfirmed && !this.have.has(index) && !this.#partial.has(index))
          this.#parts.onWanted?.(index)
        waiting = { position, isUnconfirmed, more: Promise.withResolvers() }
        this.#waiting.add(waiting)
        const given = (await waiting.more.promise)?.subarray(0, end - position)
        if (given === undefined) continue
        position += given.length
        yield given
      }
    } finally {
      signal.removeEventListener('abort', abort)
      if (waiting !== undefined) this.#waiting.delete(waiting)
      this.#readers--
      if (this.#readers === 0 && this.#isRemoved) await this.#handle.close()
    }
  }

  /** Up to where there are bytes from `position` on, as far as one read goes. */
  #availableFrom(position: number, isUnconfirmed: boolean): number {
    const { pieceLength } = this.metainfo
    const limit = this.#limit(isUnconfirmed)
    let available = position
    while (available < limit && available - position < READ_BYTES_MAX) {
      const index = Math.floor(available / pieceLength)
      if (this.have.has(index)) available = index * pieceLength + pieceBytes(this.metainfo, index)
      else return Math.max(available, index * pieceLength + (this.#partial.get(index)?.bytes ?? 0))
    }
    return Math.min(available, limit)
  }

  /** Readers get no byte from here on. */
  #limit(isUnconfirmed: boolean): number {
    if (isUnconfirmed || this.#outcome === 'right') return this.length
    return (this.have.length - 1) * this.metainfo.pieceLength
  }

  /** To those who wait for one of these bytes. */
  #give(start: number, part: Uint8Array): void {
    for (const waiting of this.#waiting) {
      const { position, isUnconfirmed, more } = waiting
      const available = Math.min(start + part.length, this.#limit(isUnconfirmed))
      if (position < start || position >= available) continue
      this.#waiting.delete(waiting)
      more.resolve(part.subarray(position - start, available - start))
    }
  }

  #end(outcome: 'right' | Error): void {
    this.#outcome = outcome
    this.#ended.resolve()
    for (const { more } of this.#waiting) more.resolve(undefined)
    this.#waiting.clear()
  }
}

/** Pieces in `pieces` at and after `from`, those without a gap between them together. */
function* stretchesOf(
  pieces: Bitfield,
  from = 0,
): Generator<{ readonly first: number; readonly end: number }> {
  for (let index = from; index < pieces.length; index++) {
    if (!pieces.has(index)) continue
    const end = pieces.nextMissing(index)
    yield { first: index, end }
    index = end
  }
}
