/**
 * Every blob that this node has or fetches: one swarm and one download each, however many clients ask. What is complete
 * is seeded until the cache needs its room; what is there in part is served to others and taken up when it is wanted.
 * How a pull goes, `Pull` of the engine decides; which blobs there are and what is kept of them is decided here.
 */
import { createHash } from 'node:crypto'
import { EventEmitter } from 'node:events'
import {
  bytesEqual,
  type Digest,
  encodeInfo,
  type InfoHash,
  type Metainfo,
  type PeerAddress,
  type PeerId,
  type Prng,
} from '@shoal/core'
import { chooseVictims, EarlyNews, type ImportShare } from '@shoal/engine'
import {
  BlobDigestMismatchError,
  infoHashOf,
  PieceDamagedError,
  type PieceStore,
  type StoredBlob,
} from '@shoal/storage'
import { type SwarmEngine, Transfer, TransferFailedError } from '@shoal/swarm'
import type { Logger } from 'pino'
import type { Announcer } from './announcer.ts'
import type { ArrivingPulls } from './arriving-pulls.ts'
import type { CacheDisk } from './cache-disk.ts'
import type { Contacts } from './contacts.ts'
import { type RoomCandidate, roomFor } from './disk-room.ts'
import { type ByteSource, Download } from './download.ts'
import { CacheDiskFullError, SourceUnavailableError } from './errors.ts'
import type { HttpSources } from './http-sources.ts'
import type { KnownBlob } from './known-blob.ts'

export interface DownloadsParts {
  readonly engine: SwarmEngine
  readonly store: PieceStore
  readonly announcer: Announcer
  readonly http: HttpSources
  readonly arrivals: Pick<ArrivingPulls, 'confirm'>
  readonly contacts: Pick<Contacts, 'isGenuineMetainfo'>
  readonly disk: Pick<CacheDisk, 'mayWrite' | 'freeBytes' | 'refused' | 'failed'>
  readonly log: Logger
  readonly prng: Prng
  readonly nowMs: () => number
  readonly onReceived: (source: ByteSource, bytes: number) => void
  readonly onSent: (bytes: number) => void
  readonly onMismatch: () => void
  readonly onDamaged: () => void
}

interface Entry {
  readonly infoHash: InfoHash
  readonly transfer: Transfer
  readonly download: Download
  lastUsedAtMs: number
}

interface Opened {
  readonly blob: StoredBlob
  /** The transfer that began while the blob was on its way to the seeder, with its readers. */
  readonly arrived: Transfer | undefined
}

/** One for all chunks: there are many. */
const RECEIVED_FROM_PEER = { kind: 'bytes-received', from: 'peer' } as const

export interface DownloadsEvents {
  /** Nobody could give the blob: what was known of where it is led nowhere. */
  failed: [digest: Digest]
  /** What is here of the blob was damaged; it is to be fetched again. */
  damaged: [digest: Digest]
}

export class Downloads extends EventEmitter<DownloadsEvents> {
  readonly #parts: DownloadsParts
  readonly #init: { readonly seederUrl: string; readonly cacheMaxBytes: number }
  readonly #entries = new Map<Digest, Promise<Entry>>()
  /** The same, once open. */
  readonly #open = new Map<Digest, Entry>()
  readonly #byInfoHash = new Map<InfoHash, Entry>()
  readonly #earlyNews = new EarlyNews()
  /** What is being left, and perhaps removed: whoever wants the blob again waits for that. */
  readonly #leaving = new Map<Digest, Promise<void>>()
  readonly #seederIds = new Set<PeerId>()
  readonly #running = new Set<Promise<void>>()
  #isStopped = false
  #damagedCount = 0

  constructor(parts: DownloadsParts, init: { seederUrl: string; cacheMaxBytes: number }) {
    super()
    this.#parts = parts
    this.#init = init
    parts.announcer.on('peers', (infoHash, peers) => this.#heardOfPeers(infoHash, peers))
    parts.announcer.on('imports', (infoHash, share) => this.#heardOfImports(infoHash, share))
    parts.announcer.on('welcome', () => this.#beganAnew())
  }

  /** Takes up what the cache holds: it is announced without being asked for. */
  async start(): Promise<void> {
    for (const blob of this.#parts.store.blobs())
      await this.#entry(blob.metainfo.digest, async () => ({ blob, arrived: undefined }))
    await this.#makeRoom()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    for (const [digest, { transfer }] of this.#open)
      transfer.fail(new TransferFailedError(digest, 'the agent stops'))
    await Promise.all(this.#running)
  }

  get activeCount(): number {
    let active = 0
    for (const { download } of this.#open.values()) if (download.isWanted) active++
    return active
  }

  get blobCount(): number {
    return this.#open.size
  }

  /** Pieces that the disk had spoilt, since this service began. */
  get damagedCount(): number {
    return this.#damagedCount
  }

  /** Bytes of all blobs, missing pieces included: their room is taken. */
  get usedBytes(): number {
    let bytes = 0
    for (const { transfer } of this.#open.values()) bytes += transfer.blob.metainfo.length
    return bytes
  }

  /** The blob, whole or on its way; undefined when it is not here and nobody fetches it. */
  find(digest: Digest): Transfer | undefined {
    const entry = this.#open.get(digest)
    if (entry === undefined || !(entry.transfer.isComplete || entry.download.isWanted)) return undefined
    entry.lastUsedAtMs = this.#parts.nowMs()
    return entry.transfer
  }

  /** Whether the peer is a seeder, as far as anybody said. */
  isSeeder(peerId: PeerId): boolean {
    return this.#seederIds.has(peerId)
  }

  /** The blob, where every piece is here; its digest may still be being checked. */
  whole(digest: Digest): Transfer | undefined {
    const transfer = this.#open.get(digest)?.transfer
    return transfer?.blob.have.isFull ? transfer : undefined
  }

  /** Whether the blob is being fetched, and somebody who has some of it is connected. */
  isFlowing(digest: Digest): boolean {
    const entry = this.#open.get(digest)
    return entry?.download.isWanted === true && entry.transfer.swarm.peersConnected > 0
  }

  /** The seeder has said what the blobs' pieces are: what is here by other hashes goes. */
  told(sources: readonly KnownBlob[]): void {
    for (const source of sources) {
      const entry = this.#open.get(source.metainfo.digest)
      if (entry !== undefined && this.#agrees(entry, source)) this.#vouch(entry, source)
    }
  }

  /**
   * Starts fetching the blob unless it is here or already being fetched.
   * @throws CacheDiskFullError
   */
  async ensure(source: KnownBlob): Promise<Transfer> {
    const { metainfo } = source
    const open = async () => {
      // Pieces that came while the seeder was receiving the blob itself, and whoever reads them.
      const arrived = await this.#parts.arrivals.confirm(metainfo)
      return { blob: await this.#opened(metainfo), arrived }
    }
    let entry = await this.#entry(metainfo.digest, open)
    if (!this.#agrees(entry, source)) {
      entry = await this.#entry(metainfo.digest, open)
      if (!this.#agrees(entry, source))
        throw new SourceUnavailableError(
          'the seeder',
          `it gives other pieces for ${metainfo.digest} each time`,
        )
    }
    entry.lastUsedAtMs = this.#parts.nowMs()
    this.#vouch(entry, source)
    if (!this.#isStopped) await entry.download.want(source)
    return entry.transfer
  }

  /** Starts fetching what a client is about to ask for; it asks again for what could not be started. */
  prefetch(sources: readonly KnownBlob[]): void {
    for (const source of sources)
      this.#track(
        this.ensure(source).then(
          () => undefined,
          (error: unknown) => {
            // Clients are given it without its being kept.
            if (!(error instanceof CacheDiskFullError)) throw error
          },
        ),
      )
  }

  /**
   * The disk has spoilt a piece, which is not here any more. The blob is looked through, and begun anew with what is right of it:
   * those who read it go on then.
   */
  damaged(digest: Digest, pieceIndex: number): void {
    const { store, log, onDamaged } = this.#parts
    onDamaged()
    this.#damagedCount++
    log.error(
      { event: 'piece-damaged', digest, pieceIndex },
      'a piece was damaged on disk; it is fetched again',
    )
    const entry = this.#open.get(digest)
    // It is being looked through already.
    if (entry === undefined) return
    const forgotten = this.#forget(digest, entry, async () => {
      await store.get(digest)?.check()
    })
    entry.transfer.fail(new PieceDamagedError(digest, pieceIndex))
    this.#track(
      forgotten.then(async () => {
        const left = store.get(digest)
        // Wanted or not, it takes room, and others may have what is right of it.
        if (left !== undefined) await this.#entry(digest, async () => ({ blob: left, arrived: undefined }))
        this.emit('damaged', digest)
      }),
    )
  }

  #entry(digest: Digest, open: () => Promise<Opened>): Promise<Entry> {
    let entry = this.#entries.get(digest)
    if (entry === undefined) {
      entry = this.#join(digest, open)
      this.#entries.set(digest, entry)
      entry.catch(() => this.#entries.delete(digest))
    }
    return entry
  }

  async #join(digest: Digest, open: () => Promise<Opened>): Promise<Entry> {
    const { engine, nowMs } = this.#parts
    await this.#leaving.get(digest)
    const { blob, arrived } = await open()
    const { metainfo } = blob
    const infoHash = infoHashOf(metainfo)
    const swarm = await engine.join({ metainfo, infoHash, pieces: blob }).catch((error: Error) => {
      arrived?.fail(error)
      throw error
    })
    arrived?.confirm(swarm)
    const transfer = arrived ?? new Transfer({ blob, swarm })
    if (!blob.isComplete && this.#isSigned(blob)) transfer.trustMetainfo()
    const download = new Download(
      { ...this.#parts, seederIds: this.#seederIds, track: (work) => this.#track(work) },
      { transfer, seederUrl: this.#init.seederUrl },
    )
    const entry: Entry = { infoHash, transfer, download, lastUsedAtMs: nowMs() }
    this.#follow(entry)
    this.#open.set(digest, entry)
    this.#byInfoHash.set(infoHash, entry)
    download.step({ kind: 'joined', isComplete: transfer.isComplete, news: this.#earlyNews.take(infoHash) })
    return entry
  }

  /** Hears what becomes of a blob, for the pull, the log and the metrics. */
  #follow(entry: Entry): void {
    const { onReceived, onSent, onMismatch, log } = this.#parts
    const { transfer, download } = entry
    const { swarm } = transfer
    const { metainfo } = transfer.blob
    swarm.on('received', (bytes, from) => {
      onReceived(this.#seederIds.has(from) ? 'seeder' : 'peer', bytes)
      download.step(RECEIVED_FROM_PEER)
    })
    swarm.on('sent', onSent)
    swarm.on('mismatch', (index, peer) => {
      onMismatch()
      log.warn(
        { event: 'piece-mismatch', digest: metainfo.digest, pieceIndex: index, peer },
        'a peer sent a bad piece',
      )
    })
    swarm.on('unreadable', (error) =>
      log.error(
        { event: 'piece-unreadable', digest: metainfo.digest, err: error },
        'a piece could not be read for a peer',
      ),
    )
    transfer.once('complete', () => {
      download.step({ kind: 'completed' })
      log.info({ event: 'blob-complete', digest: metainfo.digest, bytes: metainfo.length }, 'blob complete')
      this.#track(this.#makeRoom())
    })
    transfer.once('failed', (error) => {
      if (this.#open.get(metainfo.digest) !== entry) return
      log.warn({ event: 'transfer-failed', digest: metainfo.digest, err: error }, 'transfer failed')
      // By these hashes the blob can never be had; or its disk is full, and what is unfinished gives way.
      const removes = error.cause instanceof BlobDigestMismatchError || this.#parts.disk.failed(error)
      this.#track(
        this.#forget(metainfo.digest, entry, removes ? () => this.#remove(metainfo.digest) : undefined),
      )
      this.emit('failed', metainfo.digest)
    })
  }

  /**
   * Whether what is here of the blob is here by the hashes that the seeder gives. Otherwise it is taken out, whoever it came
   * from: an earlier version believed other agents.
   */
  #agrees(entry: Entry, { infoHash, metainfo: { digest } }: KnownBlob): boolean {
    if (entry.infoHash === infoHash) return true
    if (this.#open.get(digest) !== entry) return false
    this.#parts.log.warn(
      { event: 'metainfo-replaced', digest, infoHash },
      'the seeder gives other pieces for a blob; what was here of it is removed',
    )
    this.#track(this.#forget(digest, entry, () => this.#remove(digest)))
    entry.transfer.fail(new TransferFailedError(digest, 'the seeder gives other pieces for it'))
    return false
  }

  /** The source's metainfo is the seeder's word, and the same as the entry's. */
  #vouch({ transfer }: Entry, { signature }: KnownBlob): void {
    transfer.trustMetainfo()
    const known = transfer.blob.signature
    if (signature === undefined || (known !== undefined && bytesEqual(known, signature))) return
    this.#track(this.#parts.store.sign(transfer.blob.metainfo.digest, signature))
  }

  #isSigned({ metainfo, signature }: StoredBlob): boolean {
    if (signature === undefined) return false
    const infoSha256 = createHash('sha256').update(encodeInfo(metainfo)).digest('hex')
    return this.#parts.contacts.isGenuineMetainfo(metainfo.digest, infoSha256, signature)
  }

  #heardOfPeers(infoHash: InfoHash, peers: readonly PeerAddress[]): void {
    const entry = this.#byInfoHash.get(infoHash)
    if (entry === undefined) this.#earlyNews.peers(infoHash, peers)
    else entry.download.step({ kind: 'peers-heard', peers })
  }

  #heardOfImports(infoHash: InfoHash, imports: ImportShare): void {
    const entry = this.#byInfoHash.get(infoHash)
    if (entry === undefined) this.#earlyNews.imports(infoHash, imports)
    else entry.download.step({ kind: 'imports-heard', imports })
  }

  #beganAnew(): void {
    this.#earlyNews.clear()
    for (const { download } of this.#byInfoHash.values()) download.step({ kind: 'stream-opened' })
  }

  /**
   * Takes a transfer out, so that the next pull begins anew, with the pieces that are here.
   * @param afterwards before that: to remove them, or to look at them
   */
  async #forget(
    digest: Digest,
    { infoHash, transfer, download }: Entry,
    afterwards?: () => Promise<void>,
  ): Promise<void> {
    this.#entries.delete(digest)
    this.#open.delete(digest)
    this.#byInfoHash.delete(infoHash)
    download.step({ kind: 'left' })
    const leaving = (async () => {
      await transfer.swarm.leave()
      await afterwards?.()
    })()
    const left = leaving
      .catch(() => {})
      .then(() => {
        if (this.#leaving.get(digest) === left) this.#leaving.delete(digest)
      })
    this.#leaving.set(digest, left)
    await leaving
  }

  #remove(digest: Digest): Promise<void> {
    return this.#parts.store.remove(digest)
  }

  /** @throws CacheDiskFullError */
  async #opened(metainfo: Metainfo): Promise<StoredBlob> {
    const { store, disk } = this.#parts
    const known = store.get(metainfo.digest)
    if (known !== undefined) return known
    if (!(await this.#findRoom(metainfo))) throw new CacheDiskFullError(metainfo.digest)
    try {
      return await store.open(metainfo)
    } catch (error) {
      if (disk.failed(error)) throw new CacheDiskFullError(metainfo.digest)
      throw error
    }
  }

  /** Makes room for the blob on the disk, whatever the cache may hold. @returns false where there is none */
  async #findRoom({ length }: Metainfo): Promise<boolean> {
    const { disk } = this.#parts
    if (!disk.mayWrite) return false
    const freeBytes = await disk.freeBytes()
    if (freeBytes === undefined) return true
    const candidates = this.#candidates()
    const outstandingBytes = candidates
      .filter(({ isComplete, isBusy }) => !isComplete && isBusy)
      .reduce((bytes, each) => bytes + each.bytes - each.writtenBytes, 0)
    const room = roomFor({ neededBytes: length, freeBytes, outstandingBytes, candidates })
    if (room.kind === 'none') disk.refused(length, freeBytes)
    else await this.#evict(room.victims)
    return room.kind === 'room'
  }

  async #makeRoom(): Promise<void> {
    await this.#evict(chooseVictims(this.#candidates(), this.#init.cacheMaxBytes))
  }

  #candidates(): RoomCandidate[] {
    return [...this.#open].map(([digest, { transfer, download, lastUsedAtMs }]) => {
      const { have, metainfo } = transfer.blob
      return {
        digest,
        bytes: metainfo.length,
        writtenBytes: Math.min(metainfo.length, have.setCount * metainfo.pieceLength),
        lastUsedAtMs,
        isBusy: transfer.readerCount > 0 || download.isWanted,
        isComplete: transfer.isComplete,
      }
    })
  }

  async #evict(victims: readonly Digest[]): Promise<void> {
    for (const digest of victims) {
      const entry = this.#open.get(digest)
      if (entry === undefined || entry.transfer.readerCount > 0) continue
      await this.#forget(digest, entry, () => this.#remove(digest))
      this.#parts.log.info({ event: 'blob-evicted', digest }, 'blob evicted')
    }
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error) =>
        this.#parts.log.error({ event: 'background-work-failed', err: error }, 'background work failed'),
      )
      .finally(() => this.#running.delete(tracked))
    this.#running.add(tracked)
  }
}
