/**
 * Which blobs the seeder seeds: those whose swarm has a member. Their pieces come from the origin, once, and stay in the
 * seeder's copy until its room is needed.
 */
import { chooseVictims, type Digest, type InfoHash } from '@shoal/core'
import { Gate, type ImageStore } from '@shoal/registry'
import type { ByteRange, ObjectStore, PieceStore } from '@shoal/storage'
import type { Swarm, SwarmEngine } from '@shoal/swarm'
import type { Logger } from 'pino'
import { OriginMissingError } from './errors.ts'
import { OriginBlob } from './origin-blob.ts'

export interface SeedingParts {
  readonly objects: ObjectStore
  readonly images: Pick<ImageStore, 'metainfo' | 'contentLocation' | 'openContent' | 'digestOfInfoHash'>
  readonly copies: PieceStore
  readonly engine: SwarmEngine
  readonly log: Logger
  readonly nowMs: () => number
  readonly onSent: (bytes: number) => void
}

/** Each holds one piece in memory. */
const WINDOWS_AT_ONCE = 4

interface Entry {
  readonly blob: OriginBlob
  readonly infoHash: InfoHash
  lastUsedAtMs: number
  readers: number
}

export class Seeding {
  readonly #parts: SeedingParts
  readonly #dataMaxBytes: number
  readonly #gate = new Gate(WINDOWS_AT_ONCE)
  readonly #streams = { count: 0 }
  readonly #blobs = new Map<Digest, Promise<Entry>>()
  readonly #open = new Map<Digest, Entry>()
  readonly #swarms = new Map<InfoHash, Promise<Swarm | undefined>>()

  constructor(parts: SeedingParts, init: { dataMaxBytes: number }) {
    this.#parts = parts
    this.#dataMaxBytes = init.dataMaxBytes
  }

  get swarmCount(): number {
    return this.#swarms.size
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
    await this.#makeRoom(known.metainfo.length)
    const file = objects.localFile(location.key)
    const adopted = file === undefined ? undefined : await copies.adopt(known.metainfo, file)
    const copy = adopted ?? (await copies.open(known.metainfo))
    const readContent = (range: ByteRange) => images.openContent(digest, range)
    const blob = new OriginBlob({ copy, readContent, gate: this.#gate, streams: this.#streams })
    const entry: Entry = { blob, infoHash: known.infoHash, lastUsedAtMs: nowMs(), readers: 0 }
    this.#open.set(digest, entry)
    return entry
  }

  async #makeRoom(neededBytes: number): Promise<void> {
    const { copies, log } = this.#parts
    const candidates = copies.blobs().map(({ metainfo: { digest, length } }) => {
      const entry = this.#open.get(digest)
      const isBusy = entry !== undefined && (entry.readers > 0 || this.#swarms.has(entry.infoHash))
      return { digest, bytes: length, lastUsedAtMs: entry?.lastUsedAtMs ?? 0, isBusy }
    })
    for (const digest of chooseVictims(candidates, Math.max(0, this.#dataMaxBytes - neededBytes))) {
      this.#open.delete(digest)
      this.#blobs.delete(digest)
      await copies.remove(digest)
      log.info({ event: 'copy-evicted', digest }, 'copy evicted')
    }
  }
}
