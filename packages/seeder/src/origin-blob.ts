/**
 * One blob of the origin as pieces: each is read from the origin once, verified, kept in the seeder's own copy, and served
 * from there ever after, to peers and to clients of the registry alike.
 *
 * The origin charges by the request, so it is read in windows of many pieces; a piece can be served as soon as it is here.
 *
 * Nobody's pull depends on the copy. While its disk is full or fails, verified pieces pass through memory, in shorter windows, and
 * are read from the origin again when they are wanted again.
 */
import { hash } from 'node:crypto'
import { Bitfield, bytesEqual, InvariantError, type Metainfo, pieceCount, pieceSha256 } from '@shoal/core'
import {
  BlobRemovedError,
  type ByteRange,
  type ObjectRead,
  PieceDamagedError,
  type StoredBlob,
} from '@shoal/storage'
import { cutPieces, rangeOfPieces, type SwarmPieces } from '@shoal/swarm'
import { OriginCorruptError, OriginMissingError } from './errors.ts'
import type { PassingPieces } from './passing-pieces.ts'

const WINDOW_BYTES = 32 * 1024 * 1024
/** Where nothing can be kept: what a reader does not take soon is read for nothing. */
const PASSING_WINDOW_BYTES = 4 * 1024 * 1024
/** After the copy has failed, before it is tried again. */
const COPY_REST_MS = 10_000
const READ_CHUNK_BYTES = 1024 * 1024
/** Where many blobs are sent at a time, each has less: clients that do not take it hold it for long. */
const READ_CHUNK_BYTES_MIN = 128 * 1024
const READ_CHUNKS_BYTES = 32 * 1024 * 1024

export interface OriginBlobParts {
  readonly metainfo: Metainfo
  /** Opens the seeder's own copy, which holds pieces as far as it goes. */
  readonly openCopy: () => Promise<StoredBlob>
  /** Reads the blob's bytes in the origin; undefined when they are not there. */
  readonly readContent: (range: ByteRange) => Promise<ObjectRead | undefined>
  /** Bounds how many windows are read at a time, over all blobs. */
  readonly gate: { run<T>(work: () => Promise<T>): Promise<T> }
  /** Streams under way, over all blobs. */
  readonly streams: { count: number }
  /** What cannot be kept, over all blobs. */
  readonly passing: PassingPieces
  readonly nowMs: () => number
  /**
   * The copy could not be opened, written or read.
   * @returns whether it is worth another try at once: room was made
   */
  readonly onCopyFailed: (error: unknown) => Promise<boolean>
  /** The origin gave other bytes than were pushed, or none. */
  readonly onDamaged?: () => void
}

/** The piece itself where it could not be kept; undefined where the copy has it. */
type Piece = Uint8Array | undefined

export class OriginBlob implements SwarmPieces {
  /** Everything can be had from the origin. */
  readonly have: Bitfield
  readonly metainfo: Metainfo
  readonly #parts: OriginBlobParts
  readonly #underWay = new Map<number, PromiseWithResolvers<Piece>>()
  #copy: StoredBlob | undefined
  #writeAgainAtMs = 0
  #readAgainAtMs = 0

  /** Opens the copy, if it can be opened. */
  static async open(parts: OriginBlobParts): Promise<OriginBlob> {
    const blob = new OriginBlob(parts)
    await blob.#openCopy()
    return blob
  }

  private constructor(parts: OriginBlobParts) {
    this.#parts = parts
    this.metainfo = parts.metainfo
    this.have = Bitfield.full(pieceCount(this.metainfo))
  }

  async writePiece(): Promise<void> {
    throw new InvariantError('the seeder has every piece; nobody can give it one')
  }

  /** @throws OriginMissingError · OriginCorruptError · StorageError */
  async readInto(start: number, parts: readonly Uint8Array[]): Promise<void> {
    const { pieceLength } = this.metainfo
    const end = parts.reduce((offset, part) => offset + part.length, start)
    const first = Math.floor(start / pieceLength)
    const last = Math.floor((end - 1) / pieceLength)
    let isKept = true
    for (let index = first; index <= last; index++)
      if ((await this.#ensure(index)) !== undefined) isKept = false
    if (isKept && (await this.#readCopy(start, parts))) return
    let position = start
    for (const part of parts) {
      for (let offset = 0; offset < part.length; ) {
        const index = Math.floor(position / pieceLength)
        const pieceEnd = (index + 1) * pieceLength
        const slice = part.subarray(offset, offset + pieceEnd - position)
        await this.#readPart(index, position, slice)
        offset += slice.length
        position += slice.length
      }
    }
  }

  /** The same, streamed; what is yielded is overwritten when the next is asked for. */
  async *stream({ start, end }: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const { streams } = this.#parts
    streams.count++
    try {
      const share = Math.max(READ_CHUNK_BYTES_MIN, Math.floor(READ_CHUNKS_BYTES / streams.count))
      const buffer = Buffer.allocUnsafe(Math.min(READ_CHUNK_BYTES, share, end - start))
      for (let offset = start; offset < end; offset += buffer.length) {
        signal.throwIfAborted()
        const chunk = buffer.subarray(0, Math.min(buffer.length, end - offset))
        await this.readInto(offset, [chunk])
        yield chunk
      }
    } finally {
      streams.count--
    }
  }

  /** Of one piece, from wherever it can be had. */
  async #readPart(index: number, start: number, slice: Uint8Array): Promise<void> {
    let piece = await this.#ensure(index)
    if (piece === undefined && (await this.#readCopy(start, [slice]))) return
    // The copy has just failed; it is left alone for a while.
    piece ??= await this.#ensure(index)
    if (piece === undefined) throw new OriginMissingError(this.metainfo.digest)
    const offset = start - index * this.metainfo.pieceLength
    slice.set(piece.subarray(offset, offset + slice.length))
  }

  /** @returns false when the copy cannot be read */
  async #readCopy(start: number, parts: readonly Uint8Array[]): Promise<boolean> {
    if (this.#copy === undefined) return false
    try {
      await this.#copy.readInto(start, parts)
      return true
    } catch (error) {
      if (error instanceof PieceDamagedError) {
        // The copy's disk has spoilt the piece, and the copy has dropped it: the origin is read.
        await this.#copy.check()
        return false
      }
      if (this.#gaveWay(error)) return false
      this.#readAgainAtMs = this.#parts.nowMs() + COPY_REST_MS
      await this.#parts.onCopyFailed(error)
      return false
    }
  }

  #isKept(index: number): boolean {
    return this.#copy?.have.has(index) === true && this.#parts.nowMs() >= this.#readAgainAtMs
  }

  #ensure(index: number): Promise<Piece> | Piece {
    if (this.#isKept(index)) return undefined
    const passing = this.#parts.passing.get(this.metainfo.digest, index)
    if (passing !== undefined) return passing
    const arrival = this.#underWay.get(index)
    if (arrival !== undefined) return arrival.promise
    this.#readWindow(index)
    return this.#underWay.get(index)!.promise
  }

  /** Reads the missing pieces from `first` to the end of its window, as far as nobody reads them yet. */
  #readWindow(first: number): void {
    const { gate, nowMs } = this.#parts
    const isPassing = nowMs() < Math.max(this.#writeAgainAtMs, this.#readAgainAtMs)
    const windowBytes = isPassing ? PASSING_WINDOW_BYTES : WINDOW_BYTES
    const piecesPerWindow = Math.max(1, windowBytes / this.metainfo.pieceLength)
    const windowEnd = Math.min((Math.floor(first / piecesPerWindow) + 1) * piecesPerWindow, this.have.length)
    const indexes: number[] = []
    for (let index = first; index < windowEnd; index++) {
      if (this.#isKept(index) || this.#underWay.has(index)) break
      const arrival = Promise.withResolvers<Piece>()
      // Others may wait for the same promise; if nobody does, its failure must not end the process.
      arrival.promise.catch(() => {})
      this.#underWay.set(index, arrival)
      indexes.push(index)
    }
    gate.run(() => this.#readPieces(indexes)).catch((error: unknown) => this.#giveUp(indexes, error))
  }

  async #readPieces(indexes: readonly number[]): Promise<void> {
    const { readContent, passing, onCopyFailed } = this.#parts
    const { metainfo } = this
    const object = await readContent(rangeOfPieces(metainfo, indexes))
    if (object === undefined) throw new OriginMissingError(metainfo.digest)
    for await (const { index, bytes } of cutPieces(metainfo, indexes, object.body)) {
      if (!bytesEqual(hash('sha256', bytes, 'buffer'), pieceSha256(metainfo, index))) {
        throw new OriginCorruptError(metainfo.digest, index)
      }
      let piece: Piece
      if (!(await this.#keep(index, bytes))) {
        // What a broken write has left is overwritten by the next piece.
        piece = Uint8Array.from(bytes)
        passing.add(metainfo.digest, index, piece)
      }
      this.#underWay.get(index)?.resolve(piece)
      this.#underWay.delete(index)
    }
    if (indexes.some((index) => this.#underWay.has(index))) throw new OriginMissingError(metainfo.digest)
    if (this.#copy?.have.isFull !== true) return
    try {
      await this.#copy.complete()
    } catch (error) {
      if (!this.#gaveWay(error)) await onCopyFailed(error)
    }
  }

  /** The copy was removed to make room: a new one is begun where a piece is to be kept. */
  #gaveWay(error: unknown): boolean {
    const isRemoved = error instanceof BlobRemovedError
    if (isRemoved) this.#copy = undefined
    return isRemoved
  }

  /** @returns false when the copy cannot take the piece, or cannot be read */
  async #keep(index: number, bytes: Uint8Array): Promise<boolean> {
    const { nowMs, onCopyFailed } = this.#parts
    if (nowMs() < Math.max(this.#writeAgainAtMs, this.#readAgainAtMs)) return false
    for (let attempt = 1; ; attempt++) {
      try {
        if (this.#copy === undefined && !(await this.#openCopy())) return false
        await this.#copy!.writePiece(index, [bytes])
        return true
      } catch (error) {
        const isWorthAnother = this.#gaveWay(error) || (await onCopyFailed(error))
        if (isWorthAnother && attempt === 1) continue
        this.#writeAgainAtMs = nowMs() + COPY_REST_MS
        return false
      }
    }
  }

  async #openCopy(): Promise<boolean> {
    const { openCopy, onCopyFailed, nowMs } = this.#parts
    try {
      this.#copy = await openCopy()
      return true
    } catch (error) {
      await onCopyFailed(error)
      this.#writeAgainAtMs = nowMs() + COPY_REST_MS
      return false
    }
  }

  #giveUp(indexes: readonly number[], error: unknown): void {
    if (error instanceof OriginCorruptError || error instanceof OriginMissingError) this.#parts.onDamaged?.()
    for (const index of indexes) {
      this.#underWay.get(index)?.reject(error)
      this.#underWay.delete(index)
    }
  }
}
