/**
 * What the engine of a node is told and what it answers: the border between deciding and moving. Plain data.
 *
 * Events are per message, block and piece, never per network chunk. Who performs the effects (sockets and disks in
 * `swarm/`, the links of a simulator) decides nothing: it answers each `verify`, `write` and `send-block` with one event,
 * sooner or later, unless the swarm or the connection is gone by then.
 */
import type { Bitfield, InfoHash, PeerAddress, PeerId } from '@shoal/core'
import type { Block, PeerMessage } from '@shoal/wire'
import type { ImportShare } from '../policy/handout.ts'

/** A number for each connection, given by who holds it. */
export type ConnectionId = number
/** One piece on its way from one peer, and the buffer it goes to. Numbers are never used twice. */
export type FetchId = number

export interface BlobShape {
  readonly length: number
  readonly pieceLength: number
}

export type NodeEvent =
  /**
   * @property have what is here already; copied
   * @property isGrowing a source's blob that it is still receiving itself: its pieces are added as they come
   */
  | { kind: 'swarm-joined'; infoHash: InfoHash; shape: BlobShape; have: Bitfield; isGrowing?: boolean }
  | { kind: 'swarm-left'; infoHash: InfoHash }
  | { kind: 'download-wanted'; infoHash: InfoHash }
  | { kind: 'download-paused'; infoHash: InfoHash }
  /** The piece that each reader waits for or will reach next. */
  | { kind: 'readers-moved'; infoHash: InfoHash; pieceIndexes: readonly number[] }
  /** A piece came from outside the swarm, verified and written. */
  | { kind: 'piece-added'; infoHash: InfoHash; index: number }
  | { kind: 'peers-found'; infoHash: InfoHash; peers: readonly PeerAddress[] }
  /** Which pieces may be asked of peers in other zones, from now on; none before it is said. */
  | { kind: 'imports-set'; infoHash: InfoHash; imports: ImportShare }
  | { kind: 'dial-failed'; infoHash: InfoHash; address: PeerAddress }
  /**
   * Handshakes were exchanged.
   * @property dialled whom this node dialled, absent where the peer did
   * @property ip where the peer is; connections are shared fairly among addresses where it is said
   */
  | {
      kind: 'connected'
      connection: ConnectionId
      infoHash: InfoHash
      peerId: PeerId
      dialled?: PeerAddress
      ip?: string
      hasFast: boolean
      hasExtensions: boolean
    }
  | { kind: 'disconnected'; connection: ConnectionId }
  | { kind: 'message'; connection: ConnectionId; message: PeerMessage }
  /** A block that was asked for is in the buffer of its fetch. */
  | { kind: 'block-arrived'; connection: ConnectionId; fetch: FetchId; block: Block }
  /** A block came that nobody waits for; its bytes were dropped. */
  | { kind: 'block-unasked'; connection: ConnectionId; block: Block }
  | { kind: 'block-sent'; connection: ConnectionId; block: Block }
  /** A block is being sent and the peer has taken nothing of it for a while. */
  | { kind: 'send-stalled'; connection: ConnectionId }
  | { kind: 'piece-verified'; infoHash: InfoHash; fetch: FetchId; isRight: boolean }
  | { kind: 'piece-written'; infoHash: InfoHash; fetch: FetchId }
  | { kind: 'write-failed'; infoHash: InfoHash; fetch: FetchId }
  | { kind: 'timer' }

export type CloseReason =
  | 'duplicate'
  | 'own-connection'
  | 'too-many-connections'
  | 'made-room'
  | 'banned'
  | 'bad-piece'
  | 'bad-message'
  | 'too-many-requests'
  | 'unasked-blocks'
  | 'silent'
  | 'both-complete'
  | 'swarm-left'

export type NodeEffect =
  | { kind: 'dial'; infoHash: InfoHash; address: PeerAddress }
  | { kind: 'close'; connection: ConnectionId; reason: CloseReason }
  | { kind: 'send'; connection: ConnectionId; message: PeerMessage }
  /** Ask for a block, which goes to the buffer of its fetch. */
  | { kind: 'request'; connection: ConnectionId; fetch: FetchId; block: Block }
  /** Do not wait for it any more; drop it when it comes. */
  | { kind: 'cancel'; connection: ConnectionId; fetch: FetchId; block: Block }
  /** Read a block and send it; answered by `block-sent`. */
  | { kind: 'send-block'; connection: ConnectionId; infoHash: InfoHash; block: Block }
  /** The piece is in its fetch's buffer: check its hash. Answered by `piece-verified`. */
  | { kind: 'verify'; infoHash: InfoHash; fetch: FetchId; index: number }
  /** Answered by `piece-written` or `write-failed`. */
  | { kind: 'write'; infoHash: InfoHash; fetch: FetchId; index: number }
  /** The fetch is over: nothing may be put into its buffer any more. */
  | { kind: 'release'; fetch: FetchId }
  /** News for the owner: the piece is here. */
  | { kind: 'piece-here'; infoHash: InfoHash; index: number }
  /** News for the owner: a peer sent a bad piece and was dropped. */
  | { kind: 'bad-piece'; infoHash: InfoHash; index: number; peerId: PeerId }
  /** Send `timer` at this time; replaces what was set before. */
  | { kind: 'set-timer'; atMs: number }

/** Buffers come in pages of this size: a shorter piece takes a whole one. */
export const BUFFER_PAGE_BYTES = 256 * 1024

export interface NodeLimits {
  /** Connections of all swarms together. */
  readonly connectionsMax: number
  /** Connections of one swarm. */
  readonly connectionsPerSwarmMax: number
  /** Bytes of the pieces that are on their way, from the first request until they are written. */
  readonly receiveBytesMax: number
  /** Bytes asked of one peer at a time. */
  readonly requestedBytesPerPeerMax: number
  /** The longest block that is asked for or served, in bytes. */
  readonly blockBytesMax: number
  /** Requests of one peer that wait to be served. */
  readonly queuedRequestsPerPeerMax: number
  /** Blocks that are being sent at a time. */
  readonly uploadSlots: number
  /** Infinity for no limit. */
  readonly uploadBytesPerSecond: number
  readonly downloadBytesPerSecond: number
}

const MIB = 1024 * 1024

export const NODE_LIMITS: NodeLimits = {
  connectionsMax: 512,
  connectionsPerSwarmMax: 64,
  receiveBytesMax: 24 * MIB,
  requestedBytesPerPeerMax: 16 * MIB,
  blockBytesMax: 4 * MIB,
  // libtorrent asks for up to 500 blocks of 16 KiB at a time unless told less.
  queuedRequestsPerPeerMax: 512,
  // Few at a time, so that each peer soon has a whole piece to pass on; twenty nodes, one seeder, 128 pieces: the last
  // has them after 1.14, 1.17, 1.22 times the bound with 1, 2, 4 slots. Two keep the link busy between blocks.
  uploadSlots: 4,
  uploadBytesPerSecond: Number.POSITIVE_INFINITY,
  downloadBytesPerSecond: Number.POSITIVE_INFINITY,
}
