/**
 * One blob of the origin as pieces: each is read from the origin once, verified, kept in the seeder's own copy, and served
 * from there ever after, to peers and to clients of the registry alike.
 *
 * The origin charges by the request, so it is read in windows of many pieces; a piece can be served as soon as it is here.
 */
import { hash } from 'node:crypto'
import { Bitfield, bytesEqual, type Metainfo, pieceCount, pieceSha256 } from '@shoal/core'
import { type ByteRange, type ObjectRead, PieceDamagedError, type StoredBlob } from '@shoal/storage'
import { cutPieces, rangeOfPieces, type SwarmPieces } from '@shoal/swarm'
import { OriginCorruptError, OriginMissingError } from './errors.ts'

const WINDOW_BYTES = 32 * 1024 * 1024
const READ_CHUNK_BYTES = 1024 * 1024
/** Where many blobs are sent at a time, each has less: clients that do not take it hold it for long. */
const READ_CHUNK_BYTES_MIN = 128 * 1024
const READ_CHUNKS_BYTES = 32 * 1024 * 1024

export interface OriginBlobParts {
  /** The seeder's own copy, as far as it goes. */
  readonly copy: StoredBlob
  /** Reads the blob's bytes in the origin; undefined when they are not there. */
  readonly readContent: (range: ByteRange) => Promise<ObjectRead | undefined>
  /** Bounds how many windows are read at a time, over all blobs. */
  readonly gate: { run<T>(work: () => Promise<T>): Promise<T> }
  /** Streams under way, over all blobs. */
  readonly streams: { count: number }
}

export class OriginBlob implements SwarmPieces {
  /** Everything can be had from the origin. */
  readonly have: Bitfield
  readonly metainfo: Metainfo
  readonly #parts: OriginBlobParts
  readonly #underWay = new Map<number, PromiseWithResolvers<void>>()

  constructor(parts: OriginBlobParts) {
    this.#parts = parts
    this.metainfo = parts.copy.metainfo
    this.have = Bitfield.full(pieceCount(this.metainfo))
  }

  async writePiece(): Promise<void> {
    throw new Error('the seeder has every piece; nobody can give it one')
  }

  /** @throws OriginMissingError · OriginCorruptError · StorageError */
  async readInto(start: number, parts: readonly Uint8Array[]): Promise<void> {
    const { pieceLength } = this.metainfo
    const end = parts.reduce((offset, part) => offset + part.length, start)
    const first = Math.floor(start / pieceLength)
    const last = Math.floor((end - 1) / pieceLength)
    for (let isSecond = false; ; isSecond = true) {
      for (let index = first; index <= last; index++) await this.#ensure(index)
      try {
        return await this.#parts.copy.readInto(start, parts)
      } catch (error) {
        // The copy has forgotten what its disk has spoilt; the origin has it.
        if (!(error instanceof PieceDamagedError) || isSecond) throw error
        await this.#parts.copy.check()
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

  #ensure(index: number): Promise<void> | undefined {
    if (this.#parts.copy.have.has(index)) return undefined
    const arrival = this.#underWay.get(index)
    if (arrival !== undefined) return arrival.promise
    this.#readWindow(index)
    return this.#underWay.get(index)!.promise
  }

  /** Reads the missing pieces from `first` to the end of its window, as far as nobody reads them yet. */
  #readWindow(first: number): void {
    const { gate, copy } = this.#parts
    const piecesPerWindow = Math.max(1, WINDOW_BYTES / this.metainfo.pieceLength)
    const windowEnd = Math.min((Math.floor(first / piecesPerWindow) + 1) * piecesPerWindow, this.have.length)
    const indexes: number[] = []
    for (let index = first; index < windowEnd; index++) {
      if (copy.have.has(index) || this.#underWay.has(index)) break
      const arrival = Promise.withResolvers<void>()
      // Somebody else may be the one who waits; a failure that nobody waits for is not a crash.
      arrival.promise.catch(() => {})
      this.#underWay.set(index, arrival)
      indexes.push(index)
    }
    gate.run(() => this.#readPieces(indexes)).catch((error: unknown) => this.#giveUp(indexes, error))
  }

  async #readPieces(indexes: readonly number[]): Promise<void> {
    const { readContent, copy } = this.#parts
    const { metainfo } = this
    const object = await readContent(rangeOfPieces(metainfo, indexes))
    if (object === undefined) throw new OriginMissingError(metainfo.digest)
    for await (const { index, bytes } of cutPieces(metainfo, indexes, object.body)) {
      if (!bytesEqual(hash('sha256', bytes, 'buffer'), pieceSha256(metainfo, index))) {
        throw new OriginCorruptError(metainfo.digest, index)
      }
      await copy.writePiece(index, [bytes])
      this.#underWay.get(index)?.resolve()
      this.#underWay.delete(index)
    }
    if (indexes.some((index) => this.#underWay.has(index))) throw new OriginMissingError(metainfo.digest)
    if (copy.have.isFull) await copy.complete()
  }

  #giveUp(indexes: readonly number[], error: unknown): void {
    for (const index of indexes) {
      this.#underWay.get(index)?.reject(error)
      this.#underWay.delete(index)
    }
  }
}
