/** One blob's swarm, as the engine of one node knows it: what is here, what the peers have, what is on its way. */
import {
  assert,
  Bitfield,
  type InfoHash,
  type PeerAddress,
  type Prng,
  pieceBytes,
  pieceCount,
} from '@shoal/core'
import type { ImportShare } from '../policy/handout.ts'
import type { Fetch, Peer } from './peer.ts'
import type { BlobShape } from './protocol.ts'

/** An address that was told of, and how it went. */
export interface KnownAddress {
  readonly address: PeerAddress
  state: 'idle' | 'dialling' | 'connected'
  failures: number
  retryAtMs: number
}

export class Swarm {
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

  constructor(
    readonly infoHash: InfoHash,
    readonly shape: BlobShape,
    have: Bitfield,
    prng: Prng,
    isShowing = false,
  ) {
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
