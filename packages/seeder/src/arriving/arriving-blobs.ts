/**
 * The blobs that the seeder is still receiving, pushed or from another registry, as swarms of their own: agents fetch their
 * pieces meanwhile, and turn to the blob's own swarm when it is whole and its digest was found right.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ARRIVING_LENGTH_MAX, type Digest, type InfoHash } from '@shoal/core'
import { FOLDER_MODE } from '@shoal/storage'
import type { Swarm, SwarmEngine } from '@shoal/swarm'
import type { Tracker } from '@shoal/tracker'
import type { Logger } from 'pino'
import { StreamingCopy } from './streaming-copy.ts'

export interface ArrivingBlobsParts {
  readonly engine: SwarmEngine
  readonly tracker: Pick<Tracker, 'tellPieces' | 'tellArrivalEnded'>
  readonly log: Logger
  readonly onSent: (bytes: number) => void
}

/** A blob on its way, as whoever receives it sees it. */
export interface ArrivingBlob {
  /** Must be awaited before the bytes are used for anything else. */
  append(chunk: Uint8Array): Promise<void>
  /** @param isRight the blob is in the origin; otherwise all that came is forgotten */
  end(isRight: boolean): void
}

interface Entry {
  readonly copy: StreamingCopy
  readonly repository: string
  swarm: Promise<Swarm> | undefined
  /** Pieces that agents were told of. */
  toldCount: number
  isTelling: boolean
  isEnded: boolean
  readonly ended: PromiseWithResolvers<void>
}

/** Shorter blobs are here before anybody could be told of them. */
const LENGTH_MIN = 4 * 1024 * 1024
/** Each has a file and a swarm. */
const COUNT_MAX = 64
/** Hashes are told of together that come so close together. */
const TELL_MS = 40
/** Agents turn to the blob's own swarm within moments; until then they may still ask here. */
const LINGER_MS = 5_000

export class ArrivingBlobs {
  readonly #parts: ArrivingBlobsParts
  readonly #folder: string
  readonly #entries = new Map<Digest, Entry>()
  readonly #byInfoHash = new Map<InfoHash, Entry>()

  /** @param init.folder emptied at the start */
  constructor(parts: ArrivingBlobsParts, init: { readonly folder: string }) {
    this.#parts = parts
    this.#folder = init.folder
  }

  async start(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true })
    await mkdir(this.#folder, { recursive: true, mode: FOLDER_MODE })
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#entries.values()].map((entry) => this.#forget(entry)))
  }

  /** @returns undefined for a blob that is too short or too long for it, or on its way already */
  async begin(repository: string, digest: Digest, length: number): Promise<ArrivingBlob | undefined> {
    const isPossible = length >= LENGTH_MIN && length <= ARRIVING_LENGTH_MAX && this.#entries.size < COUNT_MAX
    if (!isPossible || this.#entries.has(digest)) return undefined
    const path = join(this.#folder, randomUUID())
    const copy: StreamingCopy = await StreamingCopy.create({
      path,
      digest,
      length,
      onPiece: (index) => this.#received(entry, index),
    })
    const entry: Entry = {
      copy,
      repository,
      swarm: undefined,
      toldCount: 0,
      isTelling: false,
      isEnded: false,
      ended: Promise.withResolvers(),
    }
    this.#entries.set(digest, entry)
    this.#byInfoHash.set(copy.infoHash, entry)
    return {
      append: (chunk) => copy.append(chunk),
      end: (isRight) => {
        if (entry.isEnded) return
        entry.isEnded = true
        entry.ended.resolve()
        this.#tell(entry)
        this.#parts.tracker.tellArrivalEnded(copy.infoHash)
        // What is wrong goes at once; what is right, when those who fetch it have heard.
        setTimeout(() => this.#forgetSoon(entry), isRight ? LINGER_MS : 0).unref()
      },
    }
  }

  /** What is here of the blob; undefined when it is not on its way to this repository. */
  find(repository: string, digest: Digest): StreamingCopy | undefined {
    return this.#arriving(repository, digest)?.copy
  }

  /** Resolves when it is known what became of the blob; undefined when it is not on its way to this repository. */
  ended(repository: string, digest: Digest): Promise<void> | undefined {
    return this.#arriving(repository, digest)?.ended.promise
  }

  /** Whether the info hash is that of a blob on its way. */
  has(infoHash: InfoHash): boolean {
    return this.#byInfoHash.has(infoHash)
  }

  /**
   * Resolves when peers of the swarm can be served.
   * @returns false when the info hash is that of no blob on its way
   */
  async seed(infoHash: InfoHash): Promise<boolean> {
    const entry = this.#byInfoHash.get(infoHash)
    if (entry === undefined) return false
    entry.swarm ??= this.#join(entry)
    await entry.swarm
    return true
  }

  #arriving(repository: string, digest: Digest): Entry | undefined {
    const entry = this.#entries.get(digest)
    return entry?.repository === repository && !entry.isEnded ? entry : undefined
  }

  async #join({ copy }: Entry): Promise<Swarm> {
    const { engine, onSent, log } = this.#parts
    const { infoHash, metainfo } = copy
    const swarm = await engine.join({ infoHash, metainfo, pieces: copy, isGrowing: true })
    swarm.on('sent', onSent)
    swarm.on('unreadable', (error) =>
      log.error(
        { event: 'piece-unreadable', digest: metainfo.digest, err: error },
        'a piece could not be read for a peer',
      ),
    )
    swarm.on('failed', (error) => log.error({ event: 'seeding-failed', err: error }, 'seeding failed'))
    return swarm
  }

  #received(entry: Entry, index: number): void {
    // Agents learn the hash by the announce stream, and of the piece by their swarm: either may be first.
    entry.swarm?.then(
      (swarm) => swarm.addPiece(index),
      () => {},
    )
    if (entry.isTelling) return
    entry.isTelling = true
    setTimeout(() => this.#tell(entry), TELL_MS).unref()
  }

  #tell(entry: Entry): void {
    const { copy, toldCount } = entry
    entry.isTelling = false
    if (copy.pieceCount === toldCount) return
    entry.toldCount = copy.pieceCount
    const sha256 = copy.sha256.slice(32 * toldCount)
    this.#parts.tracker.tellPieces(copy.infoHash, toldCount, sha256)
  }

  #forgetSoon(entry: Entry): void {
    this.#forget(entry).catch((err: unknown) =>
      this.#parts.log.error({ event: 'background-work-failed', err }, 'background work failed'),
    )
  }

  async #forget(entry: Entry): Promise<void> {
    const { copy } = entry
    entry.isEnded = true
    entry.ended.resolve()
    this.#byInfoHash.delete(copy.infoHash)
    if (this.#entries.get(copy.metainfo.digest) === entry) this.#entries.delete(copy.metainfo.digest)
    const swarm = await entry.swarm?.catch(() => undefined)
    await swarm?.leave()
    await copy.remove()
  }
}
