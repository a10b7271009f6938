/**
 * Pieces of blobs that the seeder is still receiving itself, fetched from it and from the other agents while they come. Each
 * piece is verified by the hash that the seeder found, and given to clients; whether they make up the right blob is known only
 * at its end, so the last piece is held back until the seeder has confirmed the digest and said the blob's metainfo. The
 * transfer, its readers and the pieces then go over to the blob's own download.
 */
import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  ARRIVING_LENGTH_MAX,
  Bitfield,
  bytesEqual,
  type Digest,
  type InfoHash,
  learnPieceSha256,
  type Metainfo,
  type PeerAddress,
  pieceCount,
  pieceSha256,
  unknownMetainfo,
} from '@shoal/core'
import { arrivalStep, type ImportShare } from '@shoal/engine'
import { Gate } from '@shoal/service'
import { arrivalHashOf, type PieceStore } from '@shoal/storage'
import { cutPieces, PieceMismatchError, rangeOfPieces, type SwarmEngine, Transfer } from '@shoal/swarm'
import type { Logger } from 'pino'
import type { Announcer } from './announcer.ts'
import { seederBlobUrl } from './blob-source.ts'
import { SourceUnavailableError } from './errors.ts'
import type { HttpSources } from './http-sources.ts'

export interface ArrivalsParts {
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
export interface ArrivalSource {
  readonly digest: Digest
  readonly length: number
  readonly pieces?: {
    /** Hashes of the pieces that the seeder has, in order. */
    readonly sha256: Uint8Array
    /** The same of pieces that came before it was their turn. */
    readonly later?: readonly { readonly first: number; readonly sha256: Uint8Array }[]
    readonly peers: readonly PeerAddress[]
    readonly imports?: ImportShare
  }
}

interface EarlyHashes {
  readonly infoHash: InfoHash
  readonly index: number
  readonly sha256: Uint8Array
}

interface Entry {
  readonly digest: Digest
  readonly metainfo: Metainfo
  readonly infoHash: InfoHash
  readonly known: Bitfield
  readonly transfer: Promise<Transfer>
  /** The blob at the seeder's registry. */
  readonly url: URL
  /** Pieces that readers wait for, and since when. */
  readonly wantedAtMs: Map<number, number>
  /** Pieces that the seeder was told are waited for. */
  readonly nudges: Map<number, AbortController>
  swarmBytesAtMs: number
  isFetching: boolean
  readonly left: AbortController
}

const ARRIVALS_MAX = 64
/** Hashes of swarms that this node has not joined yet, or has left. */
const EARLY_MAX = 256
const EARLY_BYTES_MAX = 4 * 1024 * 1024
const SHA256_BYTES = 32
/** Requests of one byte that tell the seeder what somebody waits for; each is open until the byte is there. */
const NUDGES_AT_ONCE = 16
/** Neighbouring pieces are fetched by one request up to this many bytes. */
const RUN_BYTES_MAX = 8 * 1024 * 1024
/** How often it is looked whether somebody waits for a piece that does not come by itself. */
const LOOK_MS = 250
const REST_MS = 2_000

export class AgentArrivals {
  readonly #parts: ArrivalsParts
  readonly #entries = new Map<Digest, Entry>()
  readonly #byInfoHash = new Map<InfoHash, Entry>()
  /** Blobs whose files are being handed on or removed. */
  readonly #leaving = new Set<Digest>()
  readonly #early = new Map<string, EarlyHashes>()
  #earlyBytes = 0
  /** Tells of blobs that are begun with, by digest. */
  readonly #begun = new EventEmitter().setMaxListeners(0)
  readonly #nudgeGate = new Gate(NUDGES_AT_ONCE)
  readonly #seederUrl: string
  readonly #looking: NodeJS.Timeout

  constructor(parts: ArrivalsParts, init: { readonly seederUrl: string }) {
    this.#parts = parts
    this.#seederUrl = init.seederUrl
    this.#looking = setInterval(() => this.#look(), LOOK_MS).unref()
    const { announcer } = parts
    announcer.on('pieces', (infoHash, index, sha256) => this.#heard(infoHash, index, sha256))
    announcer.on('peers', (infoHash, peers) => this.#connect(infoHash, peers))
    announcer.on('imports', (infoHash, share) => this.#imports(infoHash, share))
  }

  async stop(): Promise<void> {
    clearInterval(this.#looking)
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
  take(repository: string, { digest, length, pieces }: ArrivalSource): void {
    if (pieces === undefined) return
    const entry = this.#entries.get(digest) ?? this.#begin(repository, digest, length)
    if (entry === undefined) return
    this.#learn(entry, 0, pieces.sha256)
    for (const { first, sha256 } of pieces.later ?? []) this.#learn(entry, first, sha256)
    for (const [key, { infoHash, index, sha256 }] of this.#early) {
      if (infoHash !== entry.infoHash) continue
      this.#forgetEarly(key)
      this.#learn(entry, index, sha256)
    }
    this.#connect(entry.infoHash, pieces.peers)
    if (pieces.imports !== undefined) this.#imports(entry.infoHash, pieces.imports)
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
      if (transfer !== undefined && transfer.failure === undefined && isSaidOf(metainfo, entry)) {
        this.#parts.store.confirm(metainfo)
        confirmed = transfer
        return
      }
      transfer?.fail(new Error('the seeder has told other pieces of it before'))
      await this.#parts.store.dropArriving(metainfo.digest)
    })
    return confirmed
  }

  /** The blob does not come after all, or was not what it should be: whoever reads it is cut. */
  async drop(digest: Digest, reason: string): Promise<void> {
    const entry = this.#entries.get(digest)
    if (entry === undefined) return
    await this.#leave(entry, async (transfer) => {
      transfer?.fail(new Error(reason))
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
    const { store, log, nowMs } = this.#parts
    const isPossible = length > 0 && length <= ARRIVING_LENGTH_MAX && this.#entries.size < ARRIVALS_MAX
    if (!isPossible || this.#leaving.has(digest) || store.get(digest) !== undefined) return undefined
    const metainfo = unknownMetainfo(digest, length)
    const infoHash = arrivalHashOf(digest, length)
    const known = new Bitfield(pieceCount(metainfo))
    const entry: Entry = {
      digest,
      metainfo,
      infoHash,
      known,
      transfer: this.#join(infoHash, metainfo, known),
      url: seederBlobUrl(this.#seederUrl, repository, digest),
      wantedAtMs: new Map(),
      nudges: new Map(),
      swarmBytesAtMs: nowMs(),
      isFetching: false,
      left: new AbortController(),
    }
    this.#entries.set(digest, entry)
    this.#byInfoHash.set(infoHash, entry)
    this.#begun.emit(digest)
    entry.transfer.then(
      (transfer) => {
        transfer.on('waits', () => this.#attend(entry, transfer))
        transfer.swarm.on('received', (bytes, from) => {
          entry.swarmBytesAtMs = nowMs()
          this.#parts.onReceived(bytes, from)
        })
      },
      (err: unknown) => {
        log.warn({ event: 'arrival-lost', digest, err }, 'an arriving blob cannot be kept')
        this.lost(digest)
      },
    )
    return entry
  }

  async #join(infoHash: InfoHash, metainfo: Metainfo, known: Bitfield): Promise<Transfer> {
    const { engine, store, announcer, onSent, log } = this.#parts
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
    announcer.announce(infoHash, 'leeching')
    swarm.download()
    return transfer
  }

  #heard(infoHash: InfoHash, index: number, sha256: Uint8Array): void {
    const entry = this.#byInfoHash.get(infoHash)
    if (entry !== undefined) {
      this.#learn(entry, index, sha256)
      return
    }
    const key = `${infoHash} ${index}`
    this.#forgetEarly(key)
    // A copy: what was decoded is a view of its whole frame.
    this.#early.set(key, { infoHash, index, sha256: Uint8Array.from(sha256) })
    this.#earlyBytes += sha256.length
    for (const oldest of this.#early.keys()) {
      if (this.#early.size <= EARLY_MAX && this.#earlyBytes <= EARLY_BYTES_MAX) break
      this.#forgetEarly(oldest)
    }
  }

  #forgetEarly(key: string): void {
    this.#earlyBytes -= this.#early.get(key)?.sha256.length ?? 0
    this.#early.delete(key)
  }

  #learn(entry: Entry, first: number, sha256: Uint8Array): void {
    const learned: number[] = []
    const count = Math.min(Math.floor(sha256.length / SHA256_BYTES), entry.known.length - first)
    for (let at = 0; at < count; at++) {
      const index = first + at
      const piece = sha256.subarray(at * SHA256_BYTES, (at + 1) * SHA256_BYTES)
      if (!entry.known.set(index)) {
        if (bytesEqual(pieceSha256(entry.metainfo, index), piece)) continue
        // The seeder began anew, and receives something else. What was given to readers cannot be taken back.
        this.lost(entry.digest, 'the seeder has told other pieces of it before')
        return
      }
      learnPieceSha256(entry.metainfo, index, piece)
      entry.nudges.get(index)?.abort()
      learned.push(index)
    }
    if (learned.length === 0) return
    this.#with(entry, ({ swarm }) => {
      for (const index of learned) swarm.learnPiece(index)
    })
  }

  /** A nudge that was answered is remembered all the same: the piece comes. */
  #look(): void {
    for (const entry of this.#entries.values())
      this.#with(entry, (transfer) => {
        if (transfer.readerCount > 0) this.#attend(entry, transfer)
      })
  }

  /** Looks after the pieces that readers wait for. */
  #attend(entry: Entry, transfer: Transfer): void {
    if (entry.left.signal.aborted) return
    const nowMs = this.#parts.nowMs()
    const { have } = transfer.blob
    const wanted = transfer.readerPositions.filter((index) => !have.has(index))
    for (const index of entry.wantedAtMs.keys())
      if (!wanted.includes(index)) {
        entry.wantedAtMs.delete(index)
        entry.nudges.get(index)?.abort()
        entry.nudges.delete(index)
      }
    for (const pieceIndex of wanted) {
      const wantedAtMs = entry.wantedAtMs.get(pieceIndex) ?? nowMs
      entry.wantedAtMs.set(pieceIndex, wantedAtMs)
      const step = arrivalStep(nowMs, {
        pieceIndex,
        pieceCount: have.length,
        isKnown: (index) => entry.known.has(index),
        firstUnknown: entry.known.nextMissing(0),
        wantedAtMs,
        swarmBytesAtMs: entry.swarmBytesAtMs,
        isNudged: entry.nudges.has(pieceIndex),
      })
      if (step === 'nudge') void this.#nudge(entry, pieceIndex)
      else if (step === 'fetch') void this.#fetch(entry, transfer, pieceIndex)
    }
  }

  /** Has the seeder receive a piece before it is its turn. What it gives is the swarm's business. Never rejects. */
  async #nudge(entry: Entry, pieceIndex: number): Promise<void> {
    const { http, log } = this.#parts
    const nudge = new AbortController()
    entry.nudges.set(pieceIndex, nudge)
    const start = pieceIndex * entry.metainfo.pieceLength
    const signal = AbortSignal.any([nudge.signal, entry.left.signal])
    try {
      await this.#nudgeGate.run(async () => {
        if (signal.aborted) return
        for await (const _ of http.arrivingBytes(entry.url, { start, end: start + 1 }, signal));
      })
    } catch (err) {
      if (signal.aborted) return
      const { digest } = entry
      log.debug({ event: 'nudge-failed', digest, pieceIndex, err }, 'the seeder does not fetch a piece first')
    }
  }

  /** Fetches a piece that the seeder has, and those behind it, over HTTP. Never rejects. */
  async #fetch(entry: Entry, transfer: Transfer, first: number): Promise<void> {
    if (entry.isFetching) return
    entry.isFetching = true
    const { http, log, onReceived } = this.#parts
    const { metainfo, digest, known } = entry
    const { have } = transfer.blob
    const indexes: number[] = []
    const isWanted = (index: number) => known.has(index) && !have.has(index) && index < have.length - 1
    for (let index = first; isWanted(index); index++) {
      if (index > first && (indexes.length + 1) * metainfo.pieceLength > RUN_BYTES_MAX) break
      indexes.push(index)
    }
    try {
      const bytes = http.arrivingBytes(entry.url, rangeOfPieces(metainfo, indexes), entry.left.signal)
      for await (const piece of cutPieces(metainfo, indexes, bytes)) {
        onReceived(piece.bytes.length, undefined)
        await transfer.offerPiece(piece.index, piece.bytes, 'the seeder')
      }
      entry.isFetching = false
    } catch (err) {
      if (entry.left.signal.aborted) return
      if (!(err instanceof SourceUnavailableError || err instanceof PieceMismatchError)) {
        log.warn({ event: 'arrival-lost', digest, err }, 'an arriving blob cannot be kept')
        this.lost(digest, 'it cannot be kept here')
        return
      }
      log.warn({ event: 'source-failed', source: 'seeder', digest, err }, 'source failed')
      await sleep(REST_MS, undefined, { ref: false })
      entry.isFetching = false
    }
  }

  #with(entry: Entry, work: (transfer: Transfer) => void): void {
    // What cannot be kept has been told, and is not here any more.
    entry.transfer.then(work, () => {})
  }

  #connect(infoHash: InfoHash, peers: readonly PeerAddress[]): void {
    const { engine } = this.#parts
    const others = peers.filter(({ peerId }) => peerId !== engine.peerId)
    const entry = this.#byInfoHash.get(infoHash)
    if (entry !== undefined) this.#with(entry, ({ swarm }) => swarm.connect(others))
  }

  #imports(infoHash: InfoHash, share: ImportShare): void {
    const entry = this.#byInfoHash.get(infoHash)
    if (entry !== undefined) this.#with(entry, ({ swarm }) => swarm.setImports(share))
  }

  /** @param then what becomes of the file */
  async #leave(entry: Entry, then: (transfer: Transfer | undefined) => Promise<void>): Promise<void> {
    const { digest, infoHash } = entry
    this.#entries.delete(digest)
    this.#byInfoHash.delete(infoHash)
    this.#leaving.add(digest)
    entry.left.abort()
    this.#parts.announcer.leave(infoHash)
    try {
      const transfer = await entry.transfer.catch(() => undefined)
      await transfer?.swarm.leave()
      await then(transfer)
    } finally {
      this.#leaving.delete(digest)
    }
  }
}

/** Whether the metainfo says of every piece what was said of it while it arrived, and by which readers have it. */
function isSaidOf(metainfo: Metainfo, { metainfo: told, known }: Entry): boolean {
  if (metainfo.length !== told.length || metainfo.pieceLength !== told.pieceLength) return false
  for (let index = 0; index < known.length; index++)
    if (known.has(index) && !bytesEqual(pieceSha256(metainfo, index), pieceSha256(told, index))) return false
  return true
}
