/**
 * What moves pieces between peers. One interface, several engines, one contract suite (`engine-contract.ts` of @shoal/testing).
 *
 * An engine dials the peers that it is told of, accepts those that come, and asks, verifies, writes and serves pieces. It
 * chooses no peers, knows no tracker, and does not know why a blob is wanted.
 */
import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Bitfield, InfoHash, MayDial, Metainfo, PeerAddress, PeerId, Prng } from '@shoal/core'
import type { ImportShare } from '@shoal/engine'
import { NODE_LIMITS } from '@shoal/engine'

/** Where an engine keeps and finds verified pieces: a `StoredBlob`, or the seeder's view of its origin. */
export interface SwarmPieces {
  /** Grows when pieces are written. */
  readonly have: Bitfield
  /** @param parts exactly the piece, one part after the other */
  writePiece(index: number, parts: readonly Uint8Array[]): Promise<void>
  /** Fills `parts`, one after the other, with the blob's bytes from `start` on; all of pieces in `have`. */
  readInto(start: number, parts: readonly Uint8Array[]): Promise<void>
}

export interface SwarmInit {
  readonly metainfo: Metainfo
  readonly infoHash: InfoHash
  readonly pieces: SwarmPieces
  /**
   * Pieces whose hashes are known already, of a blob that is still arriving at its source: others are not asked for before
   * `learnPiece`. Every hash is known where absent. The native engine alone has this.
   */
  readonly knownPieces?: Bitfield
  /** The source's own side of such a swarm: pieces come by `addPiece`, in any order. */
  readonly isGrowing?: boolean
}

export interface SwarmEvents {
  /** Piece `index` is in `pieces` now. */
  piece: [index: number]
  /** Payload bytes came from a peer; `connectedAs` is what it was dialled as, if it was. */
  received: [bytes: number, from: PeerId]
  sent: [bytes: number]
  /** A peer sent a piece that was not what the metainfo says, and was dropped. Nothing was kept. */
  mismatch: [index: number, from: PeerId | undefined]
  /** A piece could not be read for a peer, whose connection was closed; others are served. */
  unreadable: [error: Error]
  /** The engine gave the swarm up, as when the disk is full. */
  failed: [error: Error]
}

/** One blob's swarm, as seen from this node. */
export interface Swarm extends EventEmitter<SwarmEvents> {
  readonly infoHash: InfoHash
  /** Peers with which a handshake was exchanged and whose connection stands. */
  readonly peersConnected: number
  /** Dials peers that are not connected yet. */
  connect(peers: readonly PeerAddress[]): void
  /** The pieces that may be asked of peers in other zones, from now on. */
  setImports(share: ImportShare): void
  /** From now on asks for every missing piece. Without it, pieces are only served. */
  download(): void
  /** Asks for no more. */
  pause(): void
  /** The pieces that readers wait for: they come first. */
  setReaderPositions(pieceIndexes: readonly number[]): void
  /** Piece `index` came from elsewhere and is in `pieces`: do not ask for it, tell the others. */
  addPiece(index: number): void
  /** The hash of piece `index` is known from now on. */
  learnPiece(index: number): void
  /** Closes the swarm's connections; the engine forgets it. */
  leave(): Promise<void>
}

export interface SwarmEngine {
  readonly peerId: PeerId
  /** Where peers reach this engine, once started. */
  readonly address: { readonly host: string; readonly port: number }
  /** @throws PeerListenError */
  start(): Promise<void>
  /** Leaves every swarm and closes every socket. */
  stop(): Promise<void>
  join(init: SwarmInit): Promise<Swarm>
}

export interface SwarmEngineInit {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  readonly peerId: PeerId
  /** Where others may lead this engine; without it, where a service at `host` may be led. */
  readonly mayDial?: MayDial
  /** Breaks ties between pieces. */
  readonly prng: Prng
  /** A connection on the peer port that does not open with BitTorrent's handshake; refused where absent. */
  readonly onOtherProtocol?: (socket: Socket) => void
  /** The blobs are had from nowhere else: a seeder. In a crowd, the native engine then sends each piece once before any twice. */
  readonly isSource?: boolean
  /** Peers in other zones are asked only for what nobody in this one has. */
  readonly zone?: string
  /** What is not given has its default; the webtorrent engine has limits of its own. */
  readonly limits?: Partial<SwarmLimits>
}

/** What strangers and neighbours can make an engine spend. */
export interface SwarmLimits {
  readonly connectionsMax: number
  readonly connectionsPerSwarmMax: number
  /** Connections on which no handshake is finished yet. */
  readonly unfinishedHandshakesMax: number
  /** The longest block that is asked for, served or taken, in bytes: the longest frame. */
  readonly blockBytesMax: number
  /** Requests of one peer that wait to be served. */
  readonly queuedRequestsPerPeerMax: number
  /** Blocks that are being sent at a time. */
  readonly uploadSlots: number
  /** Memory for pieces that arrive and are sent. */
  readonly bufferBytes: number
  /** Infinity for no limit. */
  readonly uploadBytesPerSecond: number
  readonly downloadBytesPerSecond: number
}

const MIB = 1024 * 1024

export const DEFAULT_SWARM_LIMITS: SwarmLimits = {
  connectionsMax: NODE_LIMITS.connectionsMax,
  connectionsPerSwarmMax: NODE_LIMITS.connectionsPerSwarmMax,
  unfinishedHandshakesMax: 128,
  blockBytesMax: NODE_LIMITS.blockBytesMax,
  queuedRequestsPerPeerMax: NODE_LIMITS.queuedRequestsPerPeerMax,
  uploadSlots: NODE_LIMITS.uploadSlots,
  bufferBytes: 32 * MIB,
  uploadBytesPerSecond: NODE_LIMITS.uploadBytesPerSecond,
  downloadBytesPerSecond: NODE_LIMITS.downloadBytesPerSecond,
}

/** What the module of every engine exports. */
export interface EngineModule {
  /** @returns the engine, not started */
  create(init: SwarmEngineInit): SwarmEngine
}
