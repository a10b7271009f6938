/**
 * Which blobs the seeder seeds: those whose swarm has a member. Their pieces come from the origin, once, and stay in the
 * seeder's copy until its room is needed.
 */
import type { Digest, InfoHash, Metainfo } from '@shoal/core'
import { chooseVictims } from '@shoal/engine'
import type { ImageStore } from '@shoal/registry'
import { Gate } from '@shoal/service'
import type { ByteRange, ObjectStore, PieceStore } from '@shoal/storage'
import type { Swarm, SwarmEngine } from '@shoal/swarm'
import type { Logger } from 'pino'
import { OriginMissingError } from './errors.ts'
import { OriginBlob } from './origin-blob.ts'
import { PassingPieces } from './passing-pieces.ts'

export interface SeededBlobsParts {
  readonly objects: ObjectStore
  readonly images: Pick<
    ImageStore,
    'metainfo' | 'contentLocation' | 'openContent' | 'digestOfInfoHash' | 'suspect'
  >
  readonly copies: PieceStore
  readonly engine: SwarmEngine
  readonly log: Logger
  readonly nowMs: () => number
  readonly onSent: (bytes: number) => void
  /** The copy could not be opened, written or read, and what was wanted of it came from the origin. */
  readonly onCopyFailed: () => void
}

/** A copy that fails does so for every piece. */
const COPY_LOG_EVERY_MS = 60_000
/** A copy that gives way does so once in this time: what was removed for one blob may do for others. */
const GIVE_WAY_EVERY_MS = 10_000
/** Each holds one piece in memory. */
const WINDOWS_AT_ONCE = 4

interface Entry {
  readonly blob: OriginBlob
  readonly infoHash: InfoHash
  lastUsedAtMs: number
  readers: number
}

export class SeededBlobs {
  readonly #parts: SeededBlobsParts
  readonly #dataMaxBytes: number
  readonly #gate = new Gate(WINDOWS_AT_ONCE)
  readonly #streams = { count: 0 }
  readonly #passing = new PassingPieces()
  #copyFailure: { readonly atMs: number; readonly loggedAtMs: number; readonly reason: string } | undefined
  #gaveWayAtMs = Number.NEGATIVE_INFINITY
  readonly #blobs = new Map<Digest, Promise<Entry>>()
  readonly #open = new Map<Digest, Entry>()
  readonly #swarms = new Map<InfoHash, Promise<Swarm | undefined>>()

  constructor(parts: SeededBlobsParts, init: { dataMaxBytes: number }) {
    this.#parts = parts
    this.#dataMaxBytes = init.dataMaxBytes
  }

  get swarmCount(): number {
    return this.#swarms.size
  }

  /** Why the copy on disk is of no use just now; undefined where it is. */
  get copyProblem(): string | undefined {
    const failure = this.#copyFailure
    if (failure === undefined || failure.atMs < this.#parts.nowMs() - COPY_LOG_EVERY_MS) return undefined
    return failure.reason
  }

  /** Resolves when peers of the swarm can be served; does nothing for a swarm that is not of the origin's blobs. */
  async seed(infoHash: InfoHash): Promise<void> {
    let swarm = this.#swarms.get(infoHash)
    if (swarm === undefined) {
      swarm = this.#join(infoHash)
      this.#swarms.set(infoHash, swarm)
      swarm.then(
        (joined) => joined ?? this.#swarms.delete(infoHash),
        () => this.#swarms.delete(infoHash),
      )
    }
    await swarm
  }

  /** Nobody is in the swarm any more. */
  async rest(infoHash: InfoHash): Promise<void> {
    const swarm = this.#swarms.get(infoHash)
    this.#swarms.delete(infoHash)
    await (await swarm)?.leave()
  }

  /** Bytes of a blob for a client of the registry, through the seeder's copy. */
  async *read(
    digest: Digest,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const entry = await this.#entry(digest)
    entry.lastUsedAtMs = this.#parts.nowMs()
    entry.readers++
    try {
      yield* entry.blob.stream(range, signal)
    } finally {
      entry.readers--
    }
  }

  /** The content in the origin was replaced: a copy of what was there before is none. */
  async forget(digest: Digest): Promise<void> {
    this.#open.delete(digest)
    this.#blobs.delete(digest)
    await this.#parts.copies.remove(digest)
  }

  async #join(infoHash: InfoHash): Promise<Swarm | undefined> {
    const { images, engine, log, onSent } = this.#parts
    const digest = await images.digestOfInfoHash(infoHash)
    if (digest === undefined) {
      log.debug({ event: 'swarm-unknown', infoHash }, 'swarm of no blob of ours')
      return undefined
    }
    const { blob } = await this.#entry(digest)
    const swarm = await engine.join({ metainfo: blob.metainfo, infoHash, pieces: blob })
    swarm.on('sent', onSent)
    swarm.on('unreadable', (error) =>
      log.error({ event: 'piece-unreadable', digest, err: error }, 'a piece could not be read for a peer'),
    )
    swarm.on('failed', (error) => {
      log.error({ event: 'seeding-failed', digest, err: error }, 'seeding failed')
      this.#swarms.delete(infoHash)
    })
    log.debug({ event: 'seeding', digest, infoHash }, 'seeding')
    return swarm
  }

  async #entry(digest: Digest): Promise<Entry> {
    let entry = this.#blobs.get(digest)
    if (entry === undefined) {
      entry = this.#openBlob(digest)
      this.#blobs.set(digest, entry)
      entry.catch(() => this.#blobs.delete(digest))
    }
    return entry
  }

  async #openBlob(digest: Digest): Promise<Entry> {
    const { images, copies, objects, nowMs } = this.#parts
    const [known, location] = await Promise.all([images.metainfo(digest), images.contentLocation(digest)])
    if (known === undefined || location === undefined) throw new OriginMissingError(digest)
    const { metainfo } = known
    const openCopy = async () => {
      await this.#makeRoom(metainfo.length)
      const file = objects.localFile(location.key)
      const adopted = file === undefined ? undefined : await copies.adopt(metainfo, file)
      return adopted ?? (await copies.open(metainfo))
    }
    const blob = await OriginBlob.open({
      metainfo,
      openCopy,
      readContent: (range) => images.openContent(digest, range),
      gate: this.#gate,
      streams: this.#streams,
      passing: this.#passing,
      nowMs,
      onCopyFailed: (error) => this.#copyFailed(metainfo, error),
      onDamaged: () => images.suspect(digest),
    })
    const entry: Entry = { blob, infoHash: known.infoHash, lastUsedAtMs: nowMs(), readers: 0 }
    this.#open.set(digest, entry)
    return entry
  }

  /** @returns whether room was made, by copies that nobody needs just now */
  async #copyFailed({ digest, length }: Metainfo, error: unknown): Promise<boolean> {
    const { copies, log, nowMs, onCopyFailed } = this.#parts
    onCopyFailed()
    const atMs = nowMs()
    const lastLoggedAtMs = this.#copyFailure?.loggedAtMs ?? Number.NEGATIVE_INFINITY
    const isLogged = lastLoggedAtMs <= atMs - COPY_LOG_EVERY_MS
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'UNKNOWN'
    this.#copyFailure = {
      atMs,
      loggedAtMs: isLogged ? atMs : lastLoggedAtMs,
      reason: `the copy in \`data\` cannot be used (${code}); pieces come from the origin each time`,
    }
    if (isLogged)
      log.warn(
        { event: 'copy-failed', digest, err: error },
        'the copy on disk cannot be used; pieces are read from the origin each time they are wanted',
      )
    const isFull = code === 'ENOSPC' || code === 'EDQUOT'
    if (!isFull || this.#gaveWayAtMs > atMs - GIVE_WAY_EVERY_MS) return false
    this.#gaveWayAtMs = atMs
    const keptBytes = copies.blobs().reduce((sum, blob) => sum + blob.metainfo.length, 0)
    return this.#evict(keptBytes - length, digest)
  }

  async #makeRoom(neededBytes: number): Promise<void> {
    await this.#evict(Math.max(0, this.#dataMaxBytes - neededBytes))
  }

  /**
   * Removes copies that nobody needs just now, until so many bytes are left.
   * @returns whether there were any
   */
  async #evict(bytesMax: number, spared?: Digest): Promise<boolean> {
    const { copies, log } = this.#parts
    const candidates = copies.blobs().map(({ metainfo: { digest, length } }) => {
      const entry = this.#open.get(digest)
      const isOpen = entry !== undefined && (entry.readers > 0 || this.#swarms.has(entry.infoHash))
      const isBusy = isOpen || digest === spared
      return { digest, bytes: length, lastUsedAtMs: entry?.lastUsedAtMs ?? 0, isBusy }
    })
    const victims = chooseVictims(candidates, Math.max(0, bytesMax))
    for (const digest of victims) {
      this.#open.delete(digest)
      this.#blobs.delete(digest)
      await copies.remove(digest)
      log.info({ event: 'copy-evicted', digest }, 'copy evicted')
    }
    return victims.length > 0
  }
}
