/**
 * Performs what the pulls of blobs decide that the seeder is still receiving itself (`ArrivingPull` of the engine): pieces are had
 * from it and from the other agents while they come. Each piece is verified by the hash that the seeder found, and given to
 * clients; the last one is held back until the seeder has confirmed the digest and said the blob's metainfo. The transfer, its
 * readers and the pieces then go over to the blob's own download.
 */
import { EventEmitter, once } from 'node:events'
import { ARRIVING_LENGTH_MAX, type Digest, type InfoHash, type Metainfo } from '@shoal/core'
import {
  ArrivingPull,
  type ArrivingPullEffect,
  type ArrivingPullEvent,
  EarlyHashes,
  PULL_LIMITS,
} from '@shoal/engine'
import { Gate } from '@shoal/service'
import { arrivalHashOf, type PieceStore } from '@shoal/storage'
import {
  cutPieces,
  PieceMismatchError,
  rangeOfPieces,
  type SwarmEngine,
  Transfer,
  TransferFailedError,
} from '@shoal/swarm'
import type { Resolution } from '@shoal/wire'
import type { Logger } from 'pino'
import type { Announcer } from './announcer.ts'
import { SourceUnavailableError } from './errors.ts'
import type { HttpSources } from './http-sources.ts'
import { seederBlobUrl } from './known-blob.ts'

export interface ArrivingPullsParts {
  readonly engine: SwarmEngine
  readonly store: PieceStore
  readonly announcer: Announcer
  readonly http: Pick<HttpSources, 'arrivingBytes'>
  readonly log: Logger
  readonly nowMs: () => number
  /** @param from undefined for bytes that came over HTTP from the seeder */
  readonly onReceived: (bytes: number, from: string | undefined) => void
  readonly onSent: (bytes: number) => void
}

/** What a resolution says of a blob on its way. */
export type ArrivingResolution = NonNullable<Resolution['arriving']>[number]

interface Entry {
  readonly digest: Digest
  readonly infoHash: InfoHash
  readonly pull: ArrivingPull
  readonly transfer: Promise<Transfer>
  /** The blob at the seeder's registry. */
  readonly url: URL
  /** Requests that tell the seeder of pieces that are waited for. */
  readonly nudges: Map<number, AbortController>
  fetching: AbortController | undefined
  timer: NodeJS.Timeout | undefined
}

/** One for all chunks: there are many. */
const BYTES_RECEIVED = { kind: 'bytes-received' } as const

export class ArrivingPulls {
  readonly #parts: ArrivingPullsParts
  readonly #entries = new Map<Digest, Entry>()
  readonly #byInfoHash = new Map<InfoHash, Entry>()
  /** Blobs whose files are being handed on or removed. */
  readonly #leaving = new Set<Digest>()
  readonly #early = new EarlyHashes()
  /** Tells of blobs that are begun with, by digest. */
  readonly #begun = new EventEmitter().setMaxListeners(0)
  readonly #nudgeGate = new Gate(PULL_LIMITS.nudgesAtOnce)
  readonly #seederUrl: string

  constructor(parts: ArrivingPullsParts, init: { readonly seederUrl: string }) {
    this.#parts = parts
    this.#seederUrl = init.seederUrl
    const { announcer } = parts
    announcer.on('pieces', (infoHash, index, sha256) => this.#heard(infoHash, index, sha256))
    announcer.on('peers', (infoHash, peers) => this.#tell(infoHash, { kind: 'peers-heard', peers }))
    announcer.on('imports', (infoHash, imports) => this.#tell(infoHash, { kind: 'imports-heard', imports }))
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#entries.keys()].map((digest) => this.drop(digest, 'the agent stops')))
  }

  /**
   * What is here of the blob, for readers; undefined where nothing of it comes, or can be kept.
   * @param withinMs how long a beginning is waited for
   */
  async find(digest: Digest, withinMs = 0): Promise<Transfer | undefined> {
    if (withinMs > 0 && !this.has(digest))
      await once(this.#begun, digest, { signal: AbortSignal.timeout(withinMs) }).catch(() => {})
    return this.#entries.get(digest)?.transfer.catch(() => undefined)
  }

  has(digest: Digest): boolean {
    return this.#entries.has(digest)
  }

  /** Fetches what is there of the blob, or learns of more. */
  take(repository: string, { digest, length, pieces }: ArrivingResolution): void {
    if (pieces === undefined) return
    const entry = this.#entries.get(digest) ?? this.#begin(repository, digest, length)
    if (entry === undefined) return
    const told = [{ first: 0, sha256: pieces.sha256 }, ...(pieces.later ?? [])]
    for (const hashes of [...told, ...this.#early.take(entry.infoHash)])
      this.#step(entry, { kind: 'pieces-told', hashes })
    this.#step(entry, { kind: 'peers-heard', peers: pieces.peers })
    if (pieces.imports !== undefined) this.#step(entry, { kind: 'imports-heard', imports: pieces.imports })
  }

  /**
   * The blob's metainfo is known: what arrived of it is in the store from now on, under that.
   * @returns whoever reads it, to go on in the blob's own swarm; undefined where there is nobody
   */
  async confirm(metainfo: Metainfo): Promise<Transfer | undefined> {
    const entry = this.#entries.get(metainfo.digest)
    if (entry === undefined) return undefined
    let confirmed: Transfer | undefined
    await this.#leave(entry, async (transfer) => {
      if (transfer !== undefined && transfer.failure === undefined && entry.pull.agreesWith(metainfo)) {
        this.#parts.store.confirm(metainfo)
        confirmed = transfer
        return
      }
      transfer?.fail(
        new TransferFailedError(metainfo.digest, 'the seeder has told other pieces of it before'),
      )
      await this.#parts.store.dropArriving(metainfo.digest)
    })
    return confirmed
  }

  /** The blob does not come after all, or was not what it should be: whoever reads it is cut. */
  async drop(digest: Digest, reason: string): Promise<void> {
    const entry = this.#entries.get(digest)
    if (entry === undefined) return
    await this.#leave(entry, async (transfer) => {
      transfer?.fail(new TransferFailedError(digest, reason))
      await this.#parts.store.dropArriving(digest)
    })
  }

  /** The same, where nobody waits for it. */
  lost(digest: Digest, reason = 'it does not arrive at the seeder'): void {
    this.drop(digest, reason).catch((err: unknown) =>
      this.#parts.log.error({ event: 'background-work-failed', digest, err }, 'background work failed'),
    )
  }

  #begin(repository: string, digest: Digest, length: number): Entry | undefined {
    const { engine, store, log, nowMs, onReceived } = this.#parts
    const isPossible =
      length > 0 && length <= ARRIVING_LENGTH_MAX && this.#entries.size < PULL_LIMITS.arrivingPullsMax
    if (!isPossible || this.#leaving.has(digest) || store.get(digest) !== undefined) return undefined
    const infoHash = arrivalHashOf(digest, length)
    const pull = new ArrivingPull(nowMs(), { peerId: engine.peerId, digest, length })
    const entry: Entry = {
      digest,
      infoHash,
      pull,
      transfer: this.#join(infoHash, pull),
      url: seederBlobUrl(this.#seederUrl, repository, digest),
      nudges: new Map(),
      fetching: undefined,
      timer: undefined,
    }
    this.#entries.set(digest, entry)
    this.#byInfoHash.set(infoHash, entry)
    this.#begun.emit(digest)
    entry.transfer.then(
      (transfer) => {
        transfer.on('waits', () => this.#step(entry, { kind: 'reader-waits' }))
        transfer.swarm.on('received', (bytes, from) => {
          this.#step(entry, BYTES_RECEIVED)
          onReceived(bytes, from)
        })
        const readerPositions = () => transfer.readerPositions
        this.#step(entry, { kind: 'joined', view: { have: transfer.blob.have, readerPositions } })
      },
      (err: unknown) => {
        log.warn({ event: 'arrival-lost', digest, err }, 'an arriving blob cannot be kept')
        this.lost(digest)
      },
    )
    return entry
  }

  async #join(infoHash: InfoHash, { metainfo, known }: ArrivingPull): Promise<Transfer> {
    const { engine, store, onSent, log } = this.#parts
    const blob = await store.openArriving(metainfo)
    // Pieces that are learned while the file is made are known by then.
    const swarm = await engine.join({ infoHash, metainfo, pieces: blob, knownPieces: known })
    const transfer = new Transfer({ blob, swarm, isArriving: true })
    swarm.on('sent', onSent)
    swarm.on('piece', () => blob.hashAhead())
    swarm.on('failed', (err) => {
      log.warn({ event: 'arrival-lost', digest: metainfo.digest, err }, 'an arriving blob cannot be kept')
      this.lost(metainfo.digest, err.message)
    })
    return transfer
  }

  #heard(infoHash: InfoHash, first: number, sha256: Uint8Array): void {
    const hashes = { first, sha256 }
    if (this.#byInfoHash.has(infoHash)) this.#tell(infoHash, { kind: 'pieces-told', hashes })
    else this.#early.told(infoHash, hashes)
  }

  #tell(infoHash: InfoHash, event: ArrivingPullEvent): void {
    const entry = this.#byInfoHash.get(infoHash)
    if (entry !== undefined) this.#step(entry, event)
  }

  #step(entry: Entry, event: ArrivingPullEvent): void {
    for (const effect of entry.pull.step(this.#parts.nowMs(), event)) this.#perform(entry, effect)
  }

  #perform(entry: Entry, effect: ArrivingPullEffect): void {
    const { announcer } = this.#parts
    const { digest, infoHash } = entry
    switch (effect.kind) {
      case 'announce':
        announcer.announce(infoHash, effect.state)
        break
      case 'announce-left':
        announcer.leave(infoHash)
        break
      case 'download':
        this.#with(entry, ({ swarm }) => swarm.download())
        break
      case 'connect':
        this.#with(entry, ({ swarm }) => swarm.connect(effect.peers))
        break
      case 'set-imports':
        this.#with(entry, ({ swarm }) => swarm.setImports(effect.imports))
        break
      case 'learn':
        this.#with(entry, ({ swarm }) => {
          for (const index of effect.pieceIndexes) swarm.learnPiece(index)
        })
        break
      case 'nudge':
        void this.#nudge(entry, effect.pieceIndex)
        break
      case 'end-nudge':
        entry.nudges.get(effect.pieceIndex)?.abort()
        break
      case 'fetch':
        this.#with(entry, (transfer) => void this.#fetch(entry, transfer, effect.pieceIndexes))
        break
      case 'cancel-fetch':
        entry.fetching?.abort()
        break
      case 'lose':
        this.lost(digest, effect.reason)
        break
      case 'set-timer':
        this.#setTimer(entry, effect.atMs)
        break
    }
  }

  #setTimer(entry: Entry, atMs: number): void {
    clearTimeout(entry.timer)
    const waitMs = Math.max(1, atMs - this.#parts.nowMs())
    entry.timer = setTimeout(() => this.#step(entry, { kind: 'timer' }), waitMs).unref()
  }

  /** A request of one byte, which is answered when the seeder has it. Never rejects. */
  async #nudge({ digest, pull, url, nudges }: Entry, pieceIndex: number): Promise<void> {
    const { http, log } = this.#parts
    const nudge = new AbortController()
    nudges.set(pieceIndex, nudge)
    const { signal } = nudge
    const start = pieceIndex * pull.metainfo.pieceLength
    try {
      await this.#nudgeGate.run(async () => {
        if (signal.aborted) return
        for await (const _ of http.arrivingBytes(url, { start, end: start + 1 }, signal));
      })
    } catch (err) {
      if (!signal.aborted)
        log.debug(
          { event: 'nudge-failed', digest, pieceIndex, err },
          'the seeder does not fetch a piece first',
        )
    } finally {
      if (nudges.get(pieceIndex) === nudge) nudges.delete(pieceIndex)
    }
  }

  /** Never rejects. */
  async #fetch(entry: Entry, transfer: Transfer, pieceIndexes: readonly number[]): Promise<void> {
    const { http, log, onReceived } = this.#parts
    const { digest, url, pull } = entry
    const fetching = new AbortController()
    entry.fetching = fetching
    const { signal } = fetching
    let isGood = true
    try {
      const bytes = http.arrivingBytes(url, rangeOfPieces(pull.metainfo, pieceIndexes), signal)
      for await (const piece of cutPieces(pull.metainfo, pieceIndexes, bytes)) {
        onReceived(piece.bytes.length, undefined)
        await transfer.offerPiece(piece.index, piece.bytes, 'the seeder')
      }
    } catch (err) {
      if (signal.aborted) return
      if (!(err instanceof SourceUnavailableError || err instanceof PieceMismatchError)) {
        log.warn({ event: 'arrival-lost', digest, err }, 'an arriving blob cannot be kept')
        this.lost(digest, 'it cannot be kept here')
        return
      }
      log.warn({ event: 'source-failed', source: 'seeder', digest, err }, 'source failed')
      isGood = false
    }
    this.#step(entry, { kind: 'fetch-ended', isGood })
  }

  #with(entry: Entry, work: (transfer: Transfer) => void): void {
    // What cannot be kept has been told, and is not here any more.
    entry.transfer.then(work, () => {})
  }

  /** @param then what becomes of the file */
  async #leave(entry: Entry, then: (transfer: Transfer | undefined) => Promise<void>): Promise<void> {
    const { digest, infoHash } = entry
    this.#entries.delete(digest)
    this.#byInfoHash.delete(infoHash)
    this.#leaving.add(digest)
    clearTimeout(entry.timer)
    this.#step(entry, { kind: 'left' })
    try {
      const transfer = await entry.transfer.catch(() => undefined)
      await transfer?.swarm.leave()
      await then(transfer)
    } finally {
      this.#leaving.delete(digest)
    }
  }
}
