/**
 * One blob on its way in: the swarm's pieces and those from elsewhere come together here, and readers get bytes as soon
 * as they are contiguous. Chooses no source; whoever owns it feeds it.
 *
 * A blob that is still arriving at the seeder (`isArriving`) has a swarm of its own, and the hashes of its pieces are learned
 * one by one. Readers get its pieces too, all but the last: that one waits for `confirm`, when the digest of the whole was
 * found right. The same readers then go on in the blob's own swarm.
 */
import { hash } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { assert, bytesEqual, pieceBytes, pieceSha256 } from '@shoal/core'
import type { StoredBlob } from '@shoal/storage'
import type { Swarm } from './engine.ts'
import { PieceMismatchError, TransferFailedError } from './errors.ts'
import { giveReadBuffer, takeReadBuffer } from './read-buffers.ts'

/** How long readers may keep a blob that is whole from being checked and flushed. */
const FLUSH_PATIENCE_MS = 3_000

export interface TransferEvents {
  /** Every piece is here, the blob's digest was checked, the blob is kept. */
  complete: []
  /** No reader gets any further; the pieces stay. */
  failed: [error: Error]
  /** A reader waits for a piece that is not here. */
  waits: [pieceIndex: number]
}

export class Transfer extends EventEmitter<TransferEvents> {
  readonly blob: StoredBlob
  #swarm: Swarm
  /** The piece that each reader waits for or reads. */
  readonly #readers = new Set<{ pieceIndex: number }>()
  #changed = Promise.withResolvers<void>()
  #failure: Error | undefined
  #isCompleting = false
  #isTrusted = false
  #isArriving: boolean

  constructor(parts: { blob: StoredBlob; swarm: Swarm; isArriving?: boolean }) {
    super()
    this.blob = parts.blob
    this.#isArriving = parts.isArriving ?? false
    this.#swarm = parts.swarm
    this.#follow(parts.swarm)
    if (this.blob.have.isFull && !this.blob.isComplete) this.#advance()
  }

  get swarm(): Swarm {
    return this.#swarm
  }

  /** Nobody has confirmed the digest of the whole yet. */
  get isArriving(): boolean {
    return this.#isArriving
  }

  /**
   * The digest of a blob that was arriving is right, and the blob's metainfo is known.
   * @param swarm the blob's own, in which the rest is fetched
   */
  confirm(swarm: Swarm): void {
    assert(this.#isArriving, 'a blob is confirmed once')
    this.#isArriving = false
    this.#swarm = swarm
    this.#follow(swarm)
    this.#tellPositions()
    this.#advance()
  }

  get isComplete(): boolean {
    return this.blob.isComplete
  }

  /** The metainfo is the blob's, as the seeder says: pieces that are right are right bytes. Nobody reads anything before. */
  trustMetainfo(): void {
    if (this.#isTrusted) return
    this.#isTrusted = true
    this.#tellChange()
  }

  get isTrusted(): boolean {
    return this.#isTrusted
  }

  /** Why no reader gets any further, if that is so. */
  get failure(): Error | undefined {
    return this.#failure
  }

  get readerCount(): number {
    return this.#readers.size
  }

  /** The pieces that readers are at. */
  get readerPositions(): readonly number[] {
    return [...new Set([...this.#readers].map(({ pieceIndex }) => pieceIndex))]
  }

  /**
   * Takes a piece that came from outside the swarm, and shares it.
   * @param source for messages
   * @throws PieceMismatchError when it is not the piece; nothing was kept
   */
  async offerPiece(index: number, bytes: Uint8Array, source: string): Promise<void> {
    const { metainfo, have } = this.blob
    if (have.has(index)) return
    if (
      bytes.length !== pieceBytes(metainfo, index) ||
      !bytesEqual(hash('sha256', bytes, 'buffer'), pieceSha256(metainfo, index))
    ) {
      throw new PieceMismatchError(metainfo.digest, index, source)
    }
    await this.blob.writePiece(index, [bytes])
    this.swarm.addPiece(index)
    this.#advance()
  }

  /**
   * The bytes [start, end) in order, each as soon as it is here; where nobody vouches for the metainfo, when the digest of the
   * whole was found right. Stop iterating, or abort, to cancel. What is yielded is overwritten when the next is asked for.
   * @throws TransferFailedError when the transfer failed before the last byte
   */
  async *read(start: number, end: number, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const { metainfo, have } = this.blob
    const reader = { pieceIndex: Math.floor(start / metainfo.pieceLength) }
    // One is being sent while the other is being filled.
    const [first, second] = [takeReadBuffer(), takeReadBuffer()]
    let ahead: Promise<Uint8Array> | undefined
    this.#readers.add(reader)
    this.#tellPositions()
    try {
      await this.#until(() => this.#isArriving || this.#isTrusted || this.isComplete, signal)
      let [filling, resting] = [first, second]
      let offset = start
      while (offset < end) {
        const pieceIndex = Math.floor(offset / metainfo.pieceLength)
        if (pieceIndex !== reader.pieceIndex) {
          reader.pieceIndex = pieceIndex
          if (!have.isFull) this.#tellPositions()
        }
        if (!have.has(pieceIndex)) this.emit('waits', pieceIndex)
        await this.#until(() => this.#mayGive(pieceIndex), signal)
        const chunk = await (ahead ?? this.#fill(filling, offset, end))
        offset += chunk.length
        ;[filling, resting] = [resting, filling]
        ahead = undefined
        if (offset < end && this.#mayGive(Math.floor(offset / metainfo.pieceLength))) {
          ahead = this.#fill(filling, offset, end)
          // The failure is told to whoever asks for the next chunk.
          ahead.catch(() => {})
        }
        yield chunk
      }
    } finally {
      this.#readers.delete(reader)
      this.#tellPositions()
      if (this.#isCompleting && !this.isComplete) this.#tellChange()
      await ahead?.catch(() => {})
      giveReadBuffer(first)
      giveReadBuffer(second)
    }
  }

  /** Whoever has the last piece has a whole blob, right or wrong: it is held back while nobody has confirmed it. */
  #mayGive(pieceIndex: number): boolean {
    const { have } = this.blob
    return have.has(pieceIndex) && !(this.#isArriving && pieceIndex === have.length - 1)
  }

  /** Reads from `offset` on, up to the end of its piece. */
  async #fill(buffer: Uint8Array, offset: number, end: number): Promise<Uint8Array> {
    const { metainfo } = this.blob
    const pieceIndex = Math.floor(offset / metainfo.pieceLength)
    const pieceEnd = pieceIndex * metainfo.pieceLength + pieceBytes(metainfo, pieceIndex)
    const chunk = buffer.subarray(0, Math.min(end, pieceEnd, offset + buffer.length) - offset)
    await this.blob.readInto(offset, [chunk])
    return chunk
  }

  /** Resolves when the blob is complete. @throws TransferFailedError */
  whenComplete(signal?: AbortSignal): Promise<void> {
    return this.#until(() => this.isComplete, signal)
  }

  /** Ends the transfer for those who wait; a new attempt takes up the pieces that are here. */
  fail(cause: Error): void {
    if (this.#failure !== undefined || this.isComplete) return
    this.#failure =
      cause instanceof TransferFailedError
        ? cause
        : new TransferFailedError(this.blob.metainfo.digest, cause.message, { cause })
    this.#tellChange()
    this.emit('failed', this.#failure)
  }

  #advance(): void {
    this.#tellChange()
    if (!this.blob.have.isFull || this.#isCompleting || this.#isArriving) return
    this.#isCompleting = true
    this.#complete().catch((error: Error) => this.fail(error))
  }

  /**
   * Readers need only the pieces. That the blob has its digest and outlasts a power failure is for the cache, and hashing and
   * flushing it would hold up what they do: it waits until they are done, but not for long.
   */
  async #complete(): Promise<void> {
    const patience = AbortSignal.timeout(FLUSH_PATIENCE_MS)
    // Where the metainfo is not trusted, they wait for this.
    await this.#until(() => this.#readers.size === 0 || !this.#isTrusted, patience).catch(() => {})
    await this.blob.complete()
    this.#tellChange()
    this.emit('complete')
  }

  /** @throws TransferFailedError, or the signal's reason */
  async #until(condition: () => boolean, signal: AbortSignal | undefined): Promise<void> {
    if (condition()) return
    // Waking everybody is cheaper than a list of who waits for what: readers are few and look at one bit.
    const onAbort = () => this.#tellChange()
    signal?.addEventListener('abort', onAbort)
    try {
      while (!condition()) {
        signal?.throwIfAborted()
        if (this.#failure !== undefined) throw this.#failure
        await this.#changed.promise
      }
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #tellChange(): void {
    const changed = this.#changed
    this.#changed = Promise.withResolvers()
    changed.resolve()
  }

  /** What an earlier swarm still tells is not this transfer's business any more. */
  #follow(swarm: Swarm): void {
    swarm.on('piece', () => {
      if (swarm === this.#swarm) this.#advance()
    })
    swarm.on('failed', (error) => {
      if (swarm === this.#swarm) this.fail(error)
    })
  }

  #tellPositions(): void {
    this.swarm.setReaderPositions(this.readerPositions)
  }
}
