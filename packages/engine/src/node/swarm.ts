/**
 * One blob's swarm, as the engine of one node knows it: what is here, what the peers have, what is on its way. Below it its
 * peers, each one connection, and the fetches from them. Each knows the others, so they stand in one file.
 */
import {
  assert,
  Bitfield,
  type InfoHash,
  type PeerAddress,
  type PeerId,
  type Prng,
  pieceBytes,
  pieceCount,
} from '@shoal/core'
import type { Block } from '@shoal/wire'
import type { ImportShare } from '../policy/handout.ts'
import { Pipeline, type RequestStamp } from './pipeline.ts'
import type { BlobShape, ConnectionId, FetchId } from './protocol.ts'
import { createUploadPeer, type UploadPeer } from './upload-queue.ts'

/** An address that was told of, and how it went. */
export interface KnownAddress {
  readonly address: PeerAddress
  state: 'idle' | 'dialling' | 'connected'
  failures: number
  retryAtMs: number
}

export class NodeSwarm {
  readonly have: Bitfield
  /** Pieces that are neither here nor being fetched. */
  readonly open: Bitfield
  /** Peers that have every piece, shown or not. */
  completePeers = 0
  /** Of a source: pieces that somebody was told of, and who was sent each first, until it was seen with another. */
  readonly shown: Bitfield | undefined
  readonly firstSentTo: (Peer | 'seen' | undefined)[] = []
  /** Peers in this node's own zone, without sources. */
  insidePeers = 0
  /** When a block last came from anybody. */
  lastBlockAtMs = 0
  /** When a reader's position last changed. */
  readersMovedAtMs = 0
  /** How many peers in this node's zone have each piece. */
  readonly availabilityInside: Uint16Array
  /** How many peers have each piece. */
  readonly availability: Uint16Array
  /** This node's own order of pieces that are equally rare: two nodes rarely ask for the same one. */
  readonly rank: Uint32Array
  /** How often this node has begun to send each piece. */
  readonly timesSent: Uint32Array
  readonly peers = new Set<Peer>()
  readonly addresses = new Map<string, KnownAddress>()
  isDownloading = false
  readerPositions: readonly number[] = []
  /** What may be asked of peers in other zones; undefined where nothing was said. */
  imports: ImportShare | undefined
  readonly #fetches = new Map<number, Fetch[]>()

  readonly infoHash: InfoHash
  readonly shape: BlobShape

  constructor(infoHash: InfoHash, shape: BlobShape, have: Bitfield, prng: Prng, isShowing = false) {
    this.infoHash = infoHash
    this.shape = shape
    const count = pieceCount(shape)
    assert(have.length === count, 'a bitfield has a bit for every piece')
    this.have = Bitfield.fromBytes(have.toBytes(), count)!
    if (isShowing) this.shown = new Bitfield(count)
    this.open = new Bitfield(count)
    for (let index = 0; index < count; index++) if (!this.have.has(index)) this.open.set(index)
    this.availability = new Uint16Array(count)
    this.availabilityInside = new Uint16Array(count)
    this.timesSent = new Uint32Array(count)
    this.rank = Uint32Array.from(prng.shuffled([...Array(count).keys()]))
  }

  pieceBytes(index: number): number {
    return pieceBytes(this.shape, index)
  }

  /** Fetches of piece `index` that are under way; two at most. */
  fetchesOf(index: number): readonly Fetch[] {
    return this.#fetches.get(index) ?? NONE
  }

  /** Pieces that are being fetched. */
  get fetchedIndexes(): Iterable<number> {
    return this.#fetches.keys()
  }

  addFetch(fetch: Fetch): void {
    const others = this.#fetches.get(fetch.index)
    if (others === undefined) {
      this.#fetches.set(fetch.index, [fetch])
      this.open.clear(fetch.index)
    } else others.push(fetch)
  }

  removeFetch(fetch: Fetch): void {
    const others = this.#fetches.get(fetch.index)
    const position = others?.indexOf(fetch) ?? -1
    assert(others !== undefined && position >= 0, 'a fetch that ends was under way')
    others.splice(position, 1)
    if (others.length > 0) return
    this.#fetches.delete(fetch.index)
    if (!this.have.has(fetch.index)) this.open.set(fetch.index)
  }

  /** Whether every peer has everything: nobody needs rare pieces from here. */
  get areAllPeersComplete(): boolean {
    return this.completePeers === this.peers.size
  }

  peerCame(peer: Peer): void {
    this.peers.add(peer)
    this.insidePeers++
  }

  /** @returns whether the peer was not known to have it */
  peerHas(peer: Peer, index: number): boolean {
    if (!peer.have.set(index)) return false
    this.availability[index]!++
    if (!peer.isOutside) this.availabilityInside[index]!++
    if (peer.have.isFull && !peer.isSource) this.completePeers++
    if (!this.have.has(index)) peer.wantedCount++
    return true
  }

  peerIsSource(peer: Peer): void {
    if (peer.isSource) return
    if (!peer.isOutside) this.insidePeers--
    peer.isSource = true
    if (!peer.have.isFull) this.completePeers++
  }

  peerIsOutside(peer: Peer): void {
    if (peer.isOutside) return
    if (!peer.isSource) this.insidePeers--
    peer.isOutside = true
    for (let index = 0; index < peer.have.length; index++)
      if (peer.have.has(index)) this.availabilityInside[index]!--
  }

  peerGone(peer: Peer): void {
    this.peers.delete(peer)
    if (!peer.isOutside && !peer.isSource) this.insidePeers--
    if (peer.have.isFull || peer.isSource) this.completePeers--
    for (let index = 0; index < peer.have.length; index++)
      if (peer.have.has(index)) {
        this.availability[index]!--
        if (!peer.isOutside) this.availabilityInside[index]!--
      }
  }

  /** @returns whether it was missing */
  pieceHere(index: number): boolean {
    if (!this.have.set(index)) return false
    this.open.clear(index)
    for (const peer of this.peers) if (peer.have.has(index)) peer.wantedCount--
    return true
  }
}

const NONE: readonly Fetch[] = []

/** A block that was asked for and is not here. */
export interface Request {
  readonly fetch: Fetch
  readonly block: Block
  readonly stamp: RequestStamp
}

export type FetchState = 'fetching' | 'verifying' | 'writing'

/** One piece from one peer: so a bad piece has one culprit, and no other peer writes into its buffer. */
export interface Fetch {
  readonly id: FetchId
  readonly swarm: NodeSwarm
  readonly peer: Peer
  readonly index: number
  readonly bytes: number
  readonly startedAtMs: number
  state: FetchState
  /** The piece's bytes up to here were asked for. */
  askedBytes: number
  arrivedBytes: number
  /** The peer was asked to give it back, for this one; it answers with a reject, or with the block after all. */
  promisedTo: Peer | undefined
  /** Infinity while it was not. */
  askedBackAtMs: number
}

export interface Peer extends UploadPeer {
  readonly connection: ConnectionId
  readonly swarm: NodeSwarm
  readonly peerId: PeerId
  readonly dialled: PeerAddress | undefined
  /** Under which its connections are counted (`addressKey`); empty where that is not known. */
  readonly from: string
  readonly cameAtMs: number
  readonly hasFast: boolean
  readonly have: Bitfield
  /** Pieces that are here, that it has as well, and that it was not told of yet. */
  readonly untold: number[]
  readonly pipeline: Pipeline
  /** It has shown Shoal's extension. */
  isShoal: boolean
  /** It has everything, whatever it shows. */
  isSource: boolean
  /** It is in another zone, where this node fetches only its share. */
  isOutside: boolean
  /** What this source has shown it; undefined where it is shown everything. */
  shown: { readonly ahead: Set<number>; unseen: number } | undefined
  /** The longest block that it may ask for. */
  blockBytesMax: number
  /** Requests that it takes at a time. */
  requestsMax: number
  /** It has not allowed requests yet, or no more. */
  isChoking: boolean
  amInterested: boolean
  /** How many pieces it has that are missing here. */
  wantedCount: number
  /** Its fetches that are not complete yet, oldest first. */
  readonly fetches: Fetch[]
  /** Oldest first. */
  readonly requests: Request[]
  /** When a block last went either way; before all times where none did. */
  exchangedAtMs: number
  /** How often it has said at once all that it has. */
  statements: number
  /** Bytes of requests that were cancelled and may come all the same. */
  cancelledBytes: number
  lastBlockAtMs: number
  /** When it was last asked to give everything back. */
  askedAllBackAtMs: number
  /** It kept requests waiting too long: it is asked for nothing until then. */
  restsUntilMs: number
  /** How often in a row. */
  rests: number
  /** A fetch that another peer was asked to give back for this one. */
  awaits: Fetch | undefined
}

/** Whether it is a source that has not shown everything yet; it never shows what it knows to be here. */
export function isShowing({ isSource, wantedCount, swarm: { have } }: Peer): boolean {
  return isSource && wantedCount < have.length - have.setCount
}

export function createPeer(init: {
  connection: ConnectionId
  swarm: NodeSwarm
  peerId: PeerId
  dialled: PeerAddress | undefined
  from: string
  hasFast: boolean
  blockBytesMax: number
  requestsMax: number
  requestedBytesMax: number
  nowMs: number
}): Peer {
  const { swarm } = init
  const have = new Bitfield(swarm.have.length)
  return {
    ...createUploadPeer(
      (index) => swarm.timesSent[index] ?? 0,
      () => have.setCount,
    ),
    connection: init.connection,
    swarm,
    peerId: init.peerId,
    dialled: init.dialled,
    from: init.from,
    cameAtMs: init.nowMs,
    hasFast: init.hasFast,
    have,
    untold: [],
    isShoal: false,
    isSource: false,
    isOutside: false,
    shown: undefined,
    pipeline: new Pipeline(init.requestedBytesMax),
    blockBytesMax: init.blockBytesMax,
    requestsMax: init.requestsMax,
    isChoking: true,
    amInterested: false,
    wantedCount: 0,
    fetches: [],
    requests: [],
    exchangedAtMs: Number.NEGATIVE_INFINITY,
    statements: 0,
    cancelledBytes: 0,
    lastBlockAtMs: init.nowMs,
    askedAllBackAtMs: Number.NEGATIVE_INFINITY,
    restsUntilMs: 0,
    rests: 0,
    awaits: undefined,
  }
}
