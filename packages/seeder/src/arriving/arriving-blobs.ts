/**
 * The blobs that the seeder is still receiving, pushed or from another registry, as swarms of their own: agents fetch their
 * pieces meanwhile, and turn to the blob's own swarm when it is whole and its digest was found right.
 */
import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ARRIVING_LENGTH_MAX, type Digest, type InfoHash, PIECE_LENGTHS_BYTES } from '@shoal/core'
import { FOLDER_MODE } from '@shoal/storage'
import type { Swarm, SwarmEngine } from '@shoal/swarm'
import type { Logger } from 'pino'
import { CopyLostError } from '../errors.ts'
import { StreamingCopy } from './streaming-copy.ts'

export interface ArrivingBlobsParts {
  readonly engine: SwarmEngine
  readonly log: Logger
  readonly onSent: (bytes: number) => void
}

export interface ArrivingBlobsEvents {
  /** Agents of the swarm can be told the hashes of pieces, from piece `first` on. */
  pieces: [infoHash: InfoHash, first: number, sha256: Uint8Array]
  /** Nothing more comes of the blob's swarm: it is in the origin, or all that came of it is forgotten. */
  ended: [infoHash: InfoHash]
}

/** A blob on its way, as whoever receives it sees it. */
export interface ArrivingBlob {
  /** Where its bytes go, in whatever order they come. */
  readonly copy: StreamingCopy
  /** The next bytes in order. Must be awaited before they are used for anything else. */
  append(chunk: Uint8Array): Promise<void>
  /** @param isRight the blob is in the origin; otherwise all that came is forgotten */
  end(isRight: boolean): void
}

interface Entry {
  readonly copy: StreamingCopy
  readonly repository: string
  /** The same blob may arrive in several repositories; agents have it from the first. */
  readonly hasSwarm: boolean
  swarm: Promise<Swarm> | undefined
  /** Pieces that are here and that agents were not told of. */
  untold: number[]
  isEnded: boolean
}

/** What is no longer than the shortest piece has no piece that may be given out before the whole is known to be right. */
const LENGTH_MIN = PIECE_LENGTHS_BYTES[0] + 1
/** Each has a file and a swarm. */
const COUNT_MAX = 64
/** Hashes are told of together that come so close together. */
const TELL_MS = 40
/** Agents turn to the blob's own swarm within moments; until then they may still ask here. */
const LINGER_MS = 5_000

export class ArrivingBlobs extends EventEmitter<ArrivingBlobsEvents> {
  readonly #parts: ArrivingBlobsParts
  readonly #folder: string
  readonly #entries = new Map<string, Entry>()
  readonly #byInfoHash = new Map<InfoHash, Entry>()

  /** @param init.folder emptied at the start */
  constructor(parts: ArrivingBlobsParts, init: { readonly folder: string }) {
    super()
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

  /**
   * @param onWanted a reader waits for a piece of which nothing is here
   * @returns undefined for a blob that is too short or too long for it, or on its way to this repository already
   * @throws CopyLostError
   */
  async begin(
    repository: string,
    digest: Digest,
    length: number,
    onWanted?: (pieceIndex: number) => void,
  ): Promise<ArrivingBlob | undefined> {
    const key = keyOf(repository, digest)
    const isPossible = length >= LENGTH_MIN && length <= ARRIVING_LENGTH_MAX
    if (!isPossible || this.#entries.has(key) || !this.#hasRoom()) return undefined
    const path = join(this.#folder, randomUUID())
    const copy: StreamingCopy = await StreamingCopy.create({
      path,
      digest,
      length,
      onPiece: (index) => this.#received(entry, index),
      ...(onWanted && { onWanted }),
    })
    const entry: Entry = {
      copy,
      repository,
      hasSwarm: !this.#byInfoHash.has(copy.infoHash),
      swarm: undefined,
      untold: [],
      isEnded: false,
    }
    this.#entries.set(key, entry)
    if (entry.hasSwarm) this.#byInfoHash.set(copy.infoHash, entry)
    return {
      copy,
      append: (chunk) => copy.append(chunk),
      end: (isRight) => this.#end(entry, isRight),
    }
  }

  /** What is here of the blob; undefined when it is not on its way to this repository. */
  find(repository: string, digest: Digest): StreamingCopy | undefined {
    const entry = this.#entries.get(keyOf(repository, digest))
    return entry === undefined || entry.isEnded ? undefined : entry.copy
  }

  /** Whether agents can have pieces of the copy from each other. */
  hasSwarm(copy: StreamingCopy): boolean {
    return this.#byInfoHash.get(copy.infoHash)?.copy === copy
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

  /** Those that have ended make room, the oldest first. */
  #hasRoom(): boolean {
    if (this.#entries.size < COUNT_MAX) return true
    const ended = [...this.#entries.values()].find(({ isEnded }) => isEnded)
    if (ended === undefined) return false
    this.#forgetSoon(ended)
    return true
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
    if (!entry.hasSwarm) return
    // Agents learn the hash by the announce stream, and of the piece by their swarm: either may be first.
    entry.swarm?.then(
      (swarm) => swarm.addPiece(index),
      () => {},
    )
    if (entry.untold.push(index) > 1) return
    setTimeout(() => this.#tell(entry), TELL_MS).unref()
  }

  #tell(entry: Entry): void {
    const { copy } = entry
    const untold = entry.untold.toSorted((a, b) => a - b)
    entry.untold = []
    for (let at = 0; at < untold.length; ) {
      const first = untold[at]!
      let end = first
      while (untold[at] === end) {
        at++
        end++
      }
      this.emit('pieces', copy.infoHash, first, copy.sha256Of(first, end))
    }
  }

  #end(entry: Entry, isRight: boolean): void {
    if (entry.isEnded) return
    entry.isEnded = true
    const { copy, hasSwarm } = entry
    if (hasSwarm) this.#tell(entry)
    if (isRight) copy.confirm()
    else copy.fail(new CopyLostError(copy.metainfo.digest, 'ended'))
    if (hasSwarm) this.emit('ended', copy.infoHash)
    // A wrong blob goes at once; a right one when those who fetch it have been told.
    setTimeout(() => this.#forgetSoon(entry), isRight ? LINGER_MS : 0).unref()
  }

  #forgetSoon(entry: Entry): void {
    this.#forget(entry).catch((err: unknown) =>
      this.#parts.log.error({ event: 'background-work-failed', err }, 'background work failed'),
    )
  }

  async #forget(entry: Entry): Promise<void> {
    const { copy, repository } = entry
    entry.isEnded = true
    const key = keyOf(repository, copy.metainfo.digest)
    if (this.#byInfoHash.get(copy.infoHash) === entry) this.#byInfoHash.delete(copy.infoHash)
    if (this.#entries.get(key) === entry) this.#entries.delete(key)
    const swarm = await entry.swarm?.catch(() => undefined)
    await swarm?.leave()
    await copy.remove()
  }
}

function keyOf(repository: string, digest: Digest): string {
  return `${repository}@${digest}`
}
