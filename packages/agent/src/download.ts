/**
 * Performs what one pull decides (`Pull` of the engine): asks the swarm, the seeder's registry and the origin, keeps the
 * pieces, tells the tracker. Chooses nothing itself. The pieces that are here stay, whatever comes next.
 */
import { type Prng, pieceBytes, pieceCount } from '@shoal/core'
import { type HttpSource, Pull, type PullEffect, type PullEvent } from '@shoal/engine'
import {
  cutPieces,
  PieceMismatchError,
  rangeOfPieces,
  type SwarmEngine,
  type Transfer,
  TransferFailedError,
} from '@shoal/swarm'
import type { Logger } from 'pino'
import type { Announcer } from './announcer.ts'
import { SourceUnavailableError } from './errors.ts'
import type { HttpSources } from './http-sources.ts'
import { type KnownBlob, seederBlobUrl } from './known-blob.ts'
import type { SeederPeers } from './seeder-peers.ts'

export type ByteSource = 'peer' | 'seeder' | 'origin' | 'upstream'

export interface DownloadParts {
  readonly engine: Pick<SwarmEngine, 'peerId'>
  readonly announcer: Announcer
  readonly http: HttpSources
  readonly log: Logger
  readonly prng: Prng
  readonly nowMs: () => number
  readonly onReceived: (source: ByteSource, bytes: number) => void
  readonly seeders: SeederPeers
  /** Work that is waited for when the agent stops. */
  readonly track: (work: Promise<void>) => void
}

export class Download {
  readonly transfer: Transfer
  readonly #parts: DownloadParts
  readonly #seederUrl: string
  readonly #pull: Pull
  /** What was last said of it; undefined before somebody wants it. */
  #blob: KnownBlob | undefined
  #inlineTaken: Promise<void> = Promise.resolve()
  #fetching: AbortController | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(parts: DownloadParts, init: { readonly transfer: Transfer; readonly seederUrl: string }) {
    const { transfer } = init
    this.transfer = transfer
    this.#parts = parts
    this.#seederUrl = init.seederUrl
    this.#pull = new Pull({
      peerId: parts.engine.peerId,
      shape: transfer.blob.metainfo,
      prng: parts.prng,
      view: {
        have: transfer.blob.have,
        readerPositions: () => transfer.readerPositions,
        peersConnected: () => transfer.swarm.peersConnected,
      },
    })
  }

  get isWanted(): boolean {
    return this.#pull.isWanted
  }

  /**
   * Fetches the blob, as a resolution says; a newer one brings a fresher URL and more peers.
   * Resolves when what came along with it has been taken.
   */
  async want(blob: KnownBlob): Promise<void> {
    const { peers, imports, originUrl, inline, metainfo } = blob
    this.#blob = blob
    const hasInline = inline?.length === metainfo.length
    this.step({ kind: 'wanted', peers, imports, hasOrigin: originUrl !== undefined, hasInline })
    await this.#inlineTaken
  }

  step(event: PullEvent): void {
    if (event.kind === 'completed' || event.kind === 'left') clearTimeout(this.#timer)
    for (const effect of this.#pull.step(this.#parts.nowMs(), event)) this.#perform(effect)
  }

  #perform(effect: PullEffect): void {
    const { announcer, log, seeders, track } = this.#parts
    const { swarm, blob } = this.transfer
    const { digest, length } = blob.metainfo
    switch (effect.kind) {
      case 'announce':
        announcer.announce(swarm.infoHash, effect.state)
        break
      case 'announce-left':
        announcer.leave(swarm.infoHash)
        break
      case 'download':
        log.info({ event: 'download-begins', digest, bytes: length }, 'download begins')
        swarm.download()
        break
      case 'connect':
        seeders.heard(effect.peers)
        swarm.connect(effect.peers)
        break
      case 'set-imports':
        swarm.setImports(effect.imports)
        break
      case 'take-inline':
        this.#inlineTaken = this.#takeInline()
        break
      case 'fetch':
        track(this.#fetch(effect.from, effect.pieceIndexes))
        break
      case 'cancel-fetch':
        this.#fetching?.abort()
        break
      case 'give-up':
        this.transfer.fail(new TransferFailedError(digest, 'no source has given a byte for too long'))
        break
      case 'set-timer':
        this.#setTimer(effect.atMs)
        break
    }
  }

  #setTimer(atMs: number): void {
    clearTimeout(this.#timer)
    const waitMs = Math.max(1, atMs - this.#parts.nowMs())
    this.#timer = setTimeout(() => this.step({ kind: 'timer' }), waitMs)
  }

  /** Never rejects. */
  async #takeInline(): Promise<void> {
    const { metainfo, inline } = this.#blob!
    if (await this.#isGood('seeder', () => this.#offerInline(inline!)))
      this.#parts.onReceived('seeder', metainfo.length)
    this.step({ kind: 'inline-ended' })
  }

  async #offerInline(bytes: Uint8Array): Promise<void> {
    const { metainfo } = this.transfer.blob
    for (let index = 0; index < pieceCount(metainfo); index++) {
      const start = index * metainfo.pieceLength
      const piece = bytes.subarray(start, start + pieceBytes(metainfo, index))
      await this.transfer.offerPiece(index, piece, 'the seeder')
    }
  }

  /** Never rejects. */
  async #fetch(from: HttpSource, pieceIndexes: readonly number[]): Promise<void> {
    const fetching = new AbortController()
    this.#fetching = fetching
    const { signal } = fetching
    const isGood = await this.#isGood(from, () => this.#fetchPieces(from, pieceIndexes, signal), signal)
    if (!signal.aborted) this.step({ kind: 'fetch-ended', isGood })
  }

  async #fetchPieces(from: HttpSource, pieceIndexes: readonly number[], signal: AbortSignal): Promise<void> {
    const { http } = this.#parts
    const { metainfo } = this.transfer.blob
    const { repository, originUrl } = this.#blob!
    const url = from === 'seeder' ? seederBlobUrl(this.#seederUrl, repository, metainfo.digest) : originUrl!
    const chunks = http.bytes(url, rangeOfPieces(metainfo, pieceIndexes), `the ${from}`, signal)
    for await (const piece of cutPieces(metainfo, pieceIndexes, this.#counted(from, chunks)))
      await this.transfer.offerPiece(piece.index, piece.bytes, `the ${from}`)
  }

  async *#counted(
    from: HttpSource,
    chunks: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of chunks) {
      this.#parts.onReceived(from, chunk.length)
      this.step({ kind: 'bytes-received', from })
      yield chunk
    }
  }

  /** Whether a source gave what it should. What is wrong here, as with the disk, ends the transfer. Never rejects. */
  async #isGood(from: HttpSource, work: () => Promise<void>, signal?: AbortSignal): Promise<boolean> {
    const { log } = this.#parts
    const { digest } = this.transfer.blob.metainfo
    try {
      await work()
      return true
    } catch (error) {
      if (signal?.aborted) return false
      if (error instanceof SourceUnavailableError || error instanceof PieceMismatchError) {
        log.warn({ event: 'source-failed', source: from, digest, err: error }, 'source failed')
      } else {
        log.error({ event: 'download-failed', digest, err: error }, 'download failed')
        this.transfer.fail(error as Error)
      }
      return false
    }
  }
}
