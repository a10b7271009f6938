/**
 * One download: lets the swarm work, and turns to the seeder and the origin where the source ladder says so. Chooses
 * nothing itself: `nextStep` and `pickPieces` of core do. The pieces that are here stay, whatever comes next.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Metainfo, Prng } from '@shoal/core'
import {
  afterFailure,
  HEALTHY,
  type LadderState,
  nextStep,
  pickPieces,
  type SourceHealth,
} from '@shoal/engine'
import {
  cutPieces,
  PieceMismatchError,
  rangeOfPieces,
  type Transfer,
  TransferFailedError,
} from '@shoal/swarm'
import type { Logger } from 'pino'
import { type BlobSource, seederBlobUrl } from './blob-source.ts'
import { SourceUnavailableError } from './errors.ts'
import type { HttpSources } from './http-sources.ts'

export type ByteSource = 'peer' | 'seeder' | 'origin' | 'upstream'

export interface DownloadParts {
  readonly transfer: Transfer
  readonly http: HttpSources
  readonly log: Logger
  readonly prng: Prng
  readonly nowMs: () => number
  readonly onReceived: (source: ByteSource, bytes: number) => void
}

/** Neighbouring pieces are fetched by one request up to this many bytes: an origin charges by the request. */
const RUN_BYTES_MAX = 8 * 1024 * 1024

export class Download {
  readonly #parts: DownloadParts
  readonly #seederUrl: string
  #source: BlobSource
  #peerBytesAtMs: number
  #anyBytesAtMs: number
  readonly #startedAtMs: number
  readonly #chance: number
  #seeder: SourceHealth = HEALTHY
  #origin: SourceHealth = HEALTHY

  constructor(parts: DownloadParts, init: { source: BlobSource; seederUrl: string }) {
    this.#parts = parts
    this.#source = init.source
    this.#seederUrl = init.seederUrl
    this.#startedAtMs = parts.nowMs()
    this.#chance = 1 - parts.prng.next()
    this.#peerBytesAtMs = this.#startedAtMs
    this.#anyBytesAtMs = this.#startedAtMs
  }

  /** Tells of bytes that the swarm received from another agent or the seeder's peer port. */
  heardFromPeer(): void {
    this.#peerBytesAtMs = this.#parts.nowMs()
    this.#anyBytesAtMs = this.#peerBytesAtMs
  }

  /** A newer resolution of the same blob: fresher URL, more peers. */
  refresh(source: BlobSource): void {
    this.#source = source
  }

  /** Runs until the blob is complete, the transfer has failed, or `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { transfer, nowMs, log } = this.#parts
    const { metainfo } = transfer.blob
    const ended = new AbortController()
    const end = () => ended.abort()
    transfer.once('complete', end)
    transfer.once('failed', end)
    const stop = AbortSignal.any([signal, ended.signal])
    try {
      while (!stop.aborted && !transfer.blob.have.isFull) {
        const step = nextStep(nowMs(), this.#ladder())
        if (step.kind === 'give-up') {
          transfer.fail(new TransferFailedError(metainfo.digest, 'no source has given a byte for too long'))
        } else if (step.kind === 'wait') {
          await sleep(Math.max(1, step.untilMs - nowMs()), undefined, { signal: stop })
        } else {
          await this.#fetchRun(step.from, stop)
        }
      }
    } catch (error) {
      if (!stop.aborted) {
        log.error({ event: 'download-failed', digest: metainfo.digest, err: error }, 'download failed')
        transfer.fail(error as Error)
      }
    } finally {
      transfer.off('complete', end)
      transfer.off('failed', end)
    }
  }

  #ladder(): LadderState {
    return {
      startedAtMs: this.#startedAtMs,
      peerBytesAtMs: this.#peerBytesAtMs,
      anyBytesAtMs: this.#anyBytesAtMs,
      peersConnected: this.#parts.transfer.swarm.peersConnected,
      chance: this.#chance,
      seeder: this.#seeder,
      origin: this.#source.originUrl === undefined ? undefined : this.#origin,
    }
  }

  /** Fetches the piece that is wanted most, and the missing ones behind it, by one request. */
  async #fetchRun(from: 'seeder' | 'origin', signal: AbortSignal): Promise<void> {
    const { transfer, prng, log, nowMs } = this.#parts
    const { metainfo, have } = transfer.blob
    const [first] = pickPieces(
      {
        have,
        isRequested: () => false,
        isOffered: () => true,
        availability: () => 0,
        readerPositions: transfer.readerPositions,
      },
      1,
      prng,
    )
    if (first === undefined) return
    const indexes = runOf(metainfo, first, (index) => have.has(index))
    try {
      await this.#fetchPieces(from, indexes, signal)
      if (from === 'seeder') this.#seeder = HEALTHY
      else this.#origin = HEALTHY
    } catch (error) {
      if (!(error instanceof SourceUnavailableError || error instanceof PieceMismatchError)) throw error
      if (from === 'seeder') this.#seeder = afterFailure(this.#seeder, nowMs())
      else this.#origin = afterFailure(this.#origin, nowMs())
      log.warn({ event: 'source-failed', source: from, digest: metainfo.digest, err: error }, 'source failed')
    }
  }

  async #fetchPieces(
    from: 'seeder' | 'origin',
    indexes: readonly number[],
    signal: AbortSignal,
  ): Promise<void> {
    const { transfer, http, onReceived } = this.#parts
    const { metainfo } = transfer.blob
    const { repository, originUrl } = this.#source
    const url = from === 'seeder' ? seederBlobUrl(this.#seederUrl, repository, metainfo.digest) : originUrl!
    const bytes = http.bytes(url, rangeOfPieces(metainfo, indexes), `the ${from}`, signal)
    const counted = this.#counted(bytes, (length) => onReceived(from, length))
    for await (const piece of cutPieces(metainfo, indexes, counted)) {
      await transfer.offerPiece(piece.index, piece.bytes, `the ${from}`)
    }
  }

  async *#counted(
    chunks: AsyncIterable<Uint8Array>,
    onBytes: (length: number) => void,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of chunks) {
      this.#anyBytesAtMs = this.#parts.nowMs()
      onBytes(chunk.length)
      yield chunk
    }
  }
}

/** Missing pieces from `first` on, without a gap, as many as one request may bring. */
function runOf(metainfo: Metainfo, first: number, isHere: (index: number) => boolean): number[] {
  const indexes = [first]
  const pieceCount = Math.ceil(metainfo.length / metainfo.pieceLength)
  for (let index = first + 1; index < pieceCount && !isHere(index); index++) {
    if ((indexes.length + 1) * metainfo.pieceLength > RUN_BYTES_MAX) break
    indexes.push(index)
  }
  return indexes
}
