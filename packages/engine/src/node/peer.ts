/** One connection of a swarm, as the engine knows it. */
import { Bitfield, type PeerAddress, type PeerId } from '@shoal/core'
import type { Block } from '@shoal/wire'
import { Pipeline, type RequestStamp } from './pipeline.ts'
import type { ConnectionId, FetchId } from './protocol.ts'
import type { Swarm } from './swarm.ts'
import { createUploadPeer, type UploadPeer } from './upload-queue.ts'

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
  readonly swarm: Swarm
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
  readonly swarm: Swarm
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
  swarm: Swarm
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
