/**
 * Blobs that find no room on this node's disk, on their way to a client: read from the seeder's registry or the origin as the client
 * takes them, some pieces at a time. Each piece is verified before anything of it is given, and nothing is kept or shared.
 */
import { hash } from 'node:crypto'
import { bytesEqual, type Metainfo, pieceSha256 } from '@shoal/core'
import { Gate, orAborted } from '@shoal/service'
import type { ByteRange } from '@shoal/storage'
import { cutPieces, PieceMismatchError, rangeOfPieces } from '@shoal/swarm'
import { SourceUnavailableError, UnobtainableError } from './errors.ts'
import type { HttpSources } from './http-sources.ts'
import { type KnownBlob, seederBlobUrl } from './known-blob.ts'

/** At a time, with so much memory each. Others wait for their turn. */
export const PASSING_BLOBS_MAX = 16
/** As long as the longest piece. */
export const RUN_BYTES_MAX = 4 * 1024 * 1024
/** Without a piece between them; each may take 5 s. */
const FAILURES_MAX = 3

export interface PassingBlobsParts {
  readonly http: Pick<HttpSources, 'bytes'>
  readonly onReceived: (source: 'seeder' | 'origin', bytes: number) => void
}

export class PassingBlobs {
  readonly #parts: PassingBlobsParts
  readonly #seederUrl: string
  readonly #gate = new Gate(PASSING_BLOBS_MAX)

  constructor(parts: PassingBlobsParts, init: { readonly seederUrl: string }) {
    this.#parts = parts
    this.#seederUrl = init.seederUrl
  }

  /**
   * The bytes of `range`.
   * @throws UnobtainableError when nobody gives the next of them
   */
  async *read(
    source: KnownBlob,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const left = await this.#place(signal)
    try {
      yield* this.#pass(source, range, signal)
    } finally {
      left()
    }
  }

  async *#pass(
    source: KnownBlob,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { metainfo } = source
    let { start } = range
    for (let failures = 0; start < range.end; ) {
      const from = source.originUrl !== undefined && failures % 2 === 1 ? 'origin' : 'seeder'
      const indexes = runOf(metainfo, start, range.end)
      const run = rangeOfPieces(metainfo, indexes)
      try {
        const bytes = await this.#fetch(source, indexes, from, signal)
        failures = 0
        const chunk = bytes.subarray(start - run.start, Math.min(range.end, run.end) - run.start)
        start += chunk.length
        yield chunk
      } catch (cause) {
        if (!(cause instanceof SourceUnavailableError || cause instanceof PieceMismatchError)) throw cause
        if (++failures >= FAILURES_MAX)
          throw new UnobtainableError(
            metainfo.digest,
            'this node’s disk has no room for it, and the seeder does not give it',
            { cause },
          )
      }
    }
  }

  /** Whole before any of it is given: a client that takes it slowly holds memory, and no connection to the seeder. */
  async #fetch(
    source: KnownBlob,
    indexes: readonly number[],
    from: 'seeder' | 'origin',
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { metainfo, inline, originUrl, repository } = source
    const { http, onReceived } = this.#parts
    const { start, end } = rangeOfPieces(metainfo, indexes)
    const seederUrl = seederBlobUrl(this.#seederUrl, repository, metainfo.digest)
    const body =
      inline?.length === metainfo.length
        ? only(inline.subarray(start, end))
        : http.bytes(from === 'origin' ? originUrl! : seederUrl, { start, end }, `the ${from}`, signal)
    const run = Buffer.allocUnsafe(end - start)
    for await (const { index, bytes } of cutPieces(metainfo, indexes, body)) {
      if (!bytesEqual(hash('sha256', bytes, 'buffer'), pieceSha256(metainfo, index)))
        throw new PieceMismatchError(metainfo.digest, index, `the ${from}`)
      run.set(bytes, index * metainfo.pieceLength - start)
    }
    onReceived(from, run.length)
    return run
  }

  /** Resolves to what gives the place back. */
  async #place(signal: AbortSignal): Promise<() => void> {
    const taken = Promise.withResolvers<void>()
    const left = Promise.withResolvers<void>()
    void this.#gate.run(() => {
      taken.resolve()
      return left.promise
    })
    const giveBack = () => left.resolve()
    try {
      await orAborted(taken.promise, signal)
    } catch (error) {
      giveBack()
      throw error
    }
    return giveBack
  }
}

/** The piece that `start` is in, and those behind it, as many as one request may bring. */
function runOf(metainfo: Metainfo, start: number, end: number): number[] {
  const { pieceLength } = metainfo
  const first = Math.floor(start / pieceLength)
  const last = Math.min(
    Math.floor((end - 1) / pieceLength),
    first + Math.max(1, RUN_BYTES_MAX / pieceLength) - 1,
  )
  return Array.from({ length: last - first + 1 }, (_, position) => first + position)
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
