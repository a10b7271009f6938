/**
 * Pieces of blobs that the seeder is still receiving itself, fetched from it and from the other agents while they come. Each
 * piece is verified by the hash that the seeder found; whether they make up the right blob is known only at its end, so
 * nothing of it is given to a client before the seeder has confirmed the digest and said the blob's metainfo.
 */
import {
  ARRIVING_LENGTH_MAX,
  Bitfield,
  type Digest,
  type ImportShare,
  type InfoHash,
  learnPieceSha256,
  type Metainfo,
  type PeerAddress,
  pieceCount,
  unknownMetainfo,
} from '@shoal/core'
import { arrivalHashOf, type PieceStore } from '@shoal/storage'
import type { Swarm, SwarmEngine } from '@shoal/swarm'
import type { Logger } from 'pino'
import type { Announcer } from './announcer.ts'

export interface ArrivalsParts {
  readonly engine: SwarmEngine
  readonly store: PieceStore
  readonly announcer: Announcer
  readonly log: Logger
  readonly onReceived: (bytes: number, from: string) => void
  readonly onSent: (bytes: number) => void
}

/** What a resolution says of a blob on its way. */
export interface ArrivalSource {
  readonly digest: Digest
  readonly length: number
  readonly pieces?: {
    /** Hashes of the pieces that the seeder has, in order. */
    readonly sha256: Uint8Array
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
  readonly swarm: Promise<Swarm>
}

const ARRIVALS_MAX = 64
/** Hashes of swarms that this node has not joined yet, or has left. */
const EARLY_MAX = 256
const EARLY_BYTES_MAX = 4 * 1024 * 1024
const SHA256_BYTES = 32

export class AgentArrivals {
  readonly #parts: ArrivalsParts
  readonly #entries = new Map<Digest, Entry>()
  readonly #byInfoHash = new Map<InfoHash, Entry>()
  readonly #early = new Map<string, EarlyHashes>()
  #earlyBytes = 0

  constructor(parts: ArrivalsParts) {
    this.#parts = parts
    const { announcer } = parts
    announcer.on('pieces', (infoHash, index, sha256) => this.#heard(infoHash, index, sha256))
    announcer.on('peers', (infoHash, peers) => this.#connect(infoHash, peers))
    announcer.on('imports', (infoHash, share) => this.#imports(infoHash, share))
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#entries.keys()].map((digest) => this.drop(digest)))
  }

  /** Fetches what is there of the blob, or learns of more. */
  take({ digest, length, pieces }: ArrivalSource): void {
    if (pieces === undefined) return
    const entry = this.#entries.get(digest) ?? this.#begin(digest, length)
    if (entry === undefined) return
    this.#learn(entry, 0, pieces.sha256)
    for (const [key, { infoHash, index, sha256 }] of this.#early) {
      if (infoHash !== entry.infoHash) continue
      this.#forgetEarly(key)
      this.#learn(entry, index, sha256)
    }
    this.#connect(entry.infoHash, pieces.peers)
    if (pieces.imports !== undefined) this.#imports(entry.infoHash, pieces.imports)
  }

  /** The blob's metainfo is known: what arrived of it is in the store from now on, under that. */
  async confirm(metainfo: Metainfo): Promise<void> {
    const entry = this.#entries.get(metainfo.digest)
    if (entry === undefined) return
    await this.#leave(entry)
    if (metainfo.length === entry.metainfo.length && metainfo.pieceLength === entry.metainfo.pieceLength)
      this.#parts.store.confirm(metainfo)
    else await this.#parts.store.dropArriving(metainfo.digest)
  }

  /** The blob does not come after all, or was not what it should be. */
  async drop(digest: Digest): Promise<void> {
    const entry = this.#entries.get(digest)
    if (entry === undefined) return
    await this.#leave(entry)
    await this.#parts.store.dropArriving(digest)
  }

  /** The same, where nobody waits for it. */
  lost(digest: Digest): void {
    this.drop(digest).catch((err: unknown) =>
      this.#parts.log.error({ event: 'background-work-failed', digest, err }, 'background work failed'),
    )
  }

  #begin(digest: Digest, length: number): Entry | undefined {
    const { store, log } = this.#parts
    const isPossible = length > 0 && length <= ARRIVING_LENGTH_MAX && this.#entries.size < ARRIVALS_MAX
    if (!isPossible || store.get(digest) !== undefined) return undefined
    const metainfo = unknownMetainfo(digest, length)
    const infoHash = arrivalHashOf(digest, length)
    const known = new Bitfield(pieceCount(metainfo))
    const swarm = this.#join(infoHash, metainfo, known)
    const entry: Entry = { digest, metainfo, infoHash, known, swarm }
    this.#entries.set(digest, entry)
    this.#byInfoHash.set(infoHash, entry)
    swarm.catch((err: unknown) => {
      log.warn({ event: 'arrival-lost', digest, err }, 'an arriving blob cannot be kept')
      this.lost(digest)
    })
    return entry
  }

  async #join(infoHash: InfoHash, metainfo: Metainfo, known: Bitfield): Promise<Swarm> {
    const { engine, store, announcer, onReceived, onSent, log } = this.#parts
    const blob = await store.openArriving(metainfo)
    // Pieces that are learned while the file is made are known by then.
    const swarm = await engine.join({ infoHash, metainfo, pieces: blob, knownPieces: known })
    swarm.on('received', (bytes, from) => onReceived(bytes, from))
    swarm.on('sent', onSent)
    swarm.on('piece', () => blob.hashAhead())
    swarm.on('failed', (err) => {
      log.warn({ event: 'arrival-lost', digest: metainfo.digest, err }, 'an arriving blob cannot be kept')
      this.lost(metainfo.digest)
    })
    announcer.announce(infoHash, 'leeching')
    swarm.download()
    return swarm
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
      if (!entry.known.set(index)) continue
      learnPieceSha256(entry.metainfo, index, sha256.subarray(at * SHA256_BYTES, (at + 1) * SHA256_BYTES))
      learned.push(index)
    }
    if (learned.length === 0) return
    entry.swarm.then(
      (swarm) => {
        for (const index of learned) swarm.learnPiece(index)
      },
      () => {},
    )
  }

  #connect(infoHash: InfoHash, peers: readonly PeerAddress[]): void {
    const { engine } = this.#parts
    const others = peers.filter(({ peerId }) => peerId !== engine.peerId)
    this.#byInfoHash.get(infoHash)?.swarm.then(
      (swarm) => swarm.connect(others),
      () => {},
    )
  }

  #imports(infoHash: InfoHash, share: ImportShare): void {
    this.#byInfoHash.get(infoHash)?.swarm.then(
      (swarm) => swarm.setImports(share),
      () => {},
    )
  }

  async #leave(entry: Entry): Promise<void> {
    this.#entries.delete(entry.digest)
    this.#byInfoHash.delete(entry.infoHash)
    this.#parts.announcer.leave(entry.infoHash)
    const swarm = await entry.swarm.catch(() => undefined)
    await swarm?.leave()
  }
}
