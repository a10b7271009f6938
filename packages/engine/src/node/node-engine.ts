/**
 * The engine of one node: decides for all of its swarms whom to connect to, which piece to ask whom for, how much at a time,
 * whom to serve, when a peer is too slow. Pure: `step(nowMs, event) → effects`; time is an argument, chance a seeded prng.
 * The agent, the seeder and the simulator run this very code.
 *
 * What is not standard BitTorrent (BEP 3, 6, 10), and why: peers are cooperative, so nobody is choked; a piece comes whole
 * from one peer; between Shoal's peers a block may be as long as a piece.
 */
import { addressKey, assert, Bitfield, type InfoHash, type PeerId, type Prng } from '@shoal/core'
import {
  type Block,
  decodeExtensionHandshake,
  EXTENSION_HANDSHAKE_ID,
  encodeExtensionHandshake,
  type PeerMessage,
  WireError,
} from '@shoal/wire'
import { checkNode } from './check-node.ts'
import { Connector } from './connector.ts'
import { CHECK_MS, Downloader } from './downloader.ts'
import { NodeState } from './node-state.ts'
import {
  type CloseReason,
  type ConnectionId,
  NODE_LIMITS,
  type NodeEffect,
  type NodeEvent,
  type NodeLimits,
} from './protocol.ts'
import { Superseeder } from './superseeder.ts'
import { createPeer, NodeSwarm, type Peer } from './swarm.ts'
import { Uploader } from './uploader.ts'

/** Some clients ask for blocks of up to 128 KiB though BEP 3 has 16 KiB. */
const STANDARD_REQUEST_BYTES_MAX = 128 * 1024
/** Requests that a client takes at a time unless it says otherwise (libtorrent's and webtorrent's figure). */
const STANDARD_REQUESTS_MAX = 250
/** However many a peer says that it takes. */
const REQUESTS_MAX = 1_024
/** Connections on which nothing is said are closed by others after two minutes (BEP 3). */
const KEEP_ALIVE_MS = 90_000
/** Two peers that have everything have nothing to say to each other. */
const COMPLETE_LINGER_MS = 10_000
/** Bytes of blocks that were not asked for, beyond what was cancelled, before the peer is dropped. */
const UNASKED_BYTES_MAX = 1024 * 1024
/**
 * How often a peer may say that it has everything, or what it has without a piece that it has not said before: once by BEP 3, a
 * second time after it showed pieces one by one.
 */
const STATEMENTS_MAX = 8
/** Pieces that a peer has as well and is told of together. */
const UNTOLD_MAX = 8

export interface NodeEngineInit {
  readonly peerId: PeerId
  readonly prng: Prng
  readonly limits?: Partial<NodeLimits>
  /** Whoever is told of pieces here has them from nowhere else: a seeder. */
  readonly isSource?: boolean
  /** Pieces come from other zones in the shares that the tracker gave out. */
  readonly zone?: string
}

export class NodeEngine {
  readonly #state: NodeState
  readonly #connector: Connector
  readonly #downloader: Downloader
  readonly #uploader: Uploader
  readonly #superseeder: Superseeder
  readonly #isSource: boolean
  readonly #zone: string
  #keepAliveAtMs = Number.POSITIVE_INFINITY

  constructor(init: NodeEngineInit) {
    this.#state = new NodeState(init.peerId, { ...NODE_LIMITS, ...init.limits }, init.prng)
    this.#connector = new Connector(this.#state)
    this.#downloader = new Downloader(this.#state)
    this.#superseeder = new Superseeder(this.#state)
    this.#uploader = new Uploader(this.#state, this.#superseeder, init.isSource ?? false)
    this.#isSource = init.isSource ?? false
    this.#zone = init.zone ?? ''
  }

  step(nowMs: number, event: NodeEvent): readonly NodeEffect[] {
    switch (event.kind) {
      case 'swarm-joined': {
        assert(!this.#state.swarms.has(event.infoHash), 'a swarm is joined once')
        const { infoHash, shape, have, isGrowing = false } = event
        const isShowing = this.#isSource && (have.isFull || isGrowing)
        const swarm = new NodeSwarm(infoHash, shape, have, this.#state.prng, isShowing)
        this.#state.swarms.set(event.infoHash, swarm)
        break
      }
      case 'swarm-left':
        this.#leave(nowMs, event.infoHash)
        break
      case 'connected':
        this.#connected(nowMs, event)
        break
      case 'disconnected':
        this.#disconnected(nowMs, event.connection)
        break
      case 'message':
        this.#withPeer(event.connection, (peer) => this.#message(nowMs, peer, event.message))
        break
      case 'block-arrived':
        this.#withPeer(event.connection, (peer) => {
          const { fetch, block } = event
          if (this.#downloader.blockArrived(nowMs, peer, fetch, block)) peer.exchangedAtMs = nowMs
          else this.#unasked(nowMs, peer, block.length)
        })
        break
      case 'block-unasked':
        this.#withPeer(event.connection, (peer) => this.#unasked(nowMs, peer, event.block.length))
        break
      case 'block-sent':
        this.#withPeer(event.connection, (peer) => {
          peer.exchangedAtMs = nowMs
          this.#uploader.sent(nowMs, peer, event.block)
        })
        break
      case 'send-stalled':
        this.#withPeer(event.connection, (peer) => this.#uploader.stalled(nowMs, peer))
        break
      case 'timer':
        this.#timer(nowMs)
        break
      case 'piece-verified': {
        const bad = this.#downloader.verified(nowMs, event.fetch, event.isRight)
        if (bad !== undefined) this.#blame(nowMs, bad.peer, bad.index)
        break
      }
      case 'piece-written': {
        const fetch = this.#downloader.finish(event.fetch)
        if (fetch !== undefined) this.#pieceHere(nowMs, fetch.swarm, fetch.index)
        break
      }
      case 'write-failed':
        this.#downloader.finish(event.fetch)
        break
      default:
        this.#command(nowMs, event)
    }
    return this.#state.takeEffects()
  }

  /** What the owner of a swarm wants. */
  #command(
    nowMs: number,
    event: Extract<
      NodeEvent,
      {
        kind:
          | 'download-wanted'
          | 'download-paused'
          | 'readers-moved'
          | 'piece-added'
          | 'peers-found'
          | 'imports-set'
          | 'dial-failed'
      }
    >,
  ): void {
    const swarm = this.#state.swarms.get(event.infoHash)
    if (swarm === undefined) return
    switch (event.kind) {
      case 'download-wanted':
        swarm.isDownloading = true
        swarm.lastBlockAtMs = nowMs
        this.#downloader.fillSwarm(nowMs, swarm)
        this.#connector.dial(nowMs, swarm)
        break
      case 'download-paused':
        this.#downloader.abandonSwarm(swarm)
        swarm.isDownloading = false
        for (const peer of swarm.peers) this.#downloader.fill(nowMs, peer)
        break
      case 'readers-moved':
        swarm.readerPositions = event.pieceIndexes
        swarm.readersMovedAtMs = nowMs
        this.#downloader.fillSwarm(nowMs, swarm)
        break
      case 'piece-added':
        this.#downloader.pieceHere(swarm, event.index)
        this.#pieceHere(nowMs, swarm, event.index)
        this.#downloader.fillSwarm(nowMs, swarm)
        break
      case 'peers-found':
        this.#connector.found(nowMs, swarm, event.peers)
        break
      case 'imports-set':
        swarm.imports = event.imports
        break
      case 'dial-failed':
        this.#connector.dialFailed(nowMs, swarm, event.address)
        break
    }
  }

  #leave(nowMs: number, infoHash: InfoHash): void {
    const swarm = this.#state.swarms.get(infoHash)
    if (swarm === undefined) return
    this.#downloader.abandonSwarm(swarm)
    swarm.isDownloading = false
    this.#state.swarms.delete(infoHash)
    for (const peer of swarm.peers) this.#state.close(peer, 'swarm-left')
    this.#forget(nowMs, swarm, [...swarm.peers])
  }

  #connected(nowMs: number, event: Extract<NodeEvent, { kind: 'connected' }>): void {
    const { connection, infoHash, peerId, dialled, ip } = event
    const from = ip === undefined ? '' : addressKey(ip)
    const swarm = this.#state.swarms.get(infoHash)
    if (swarm === undefined) {
      this.#state.effect({ kind: 'close', connection, reason: 'swarm-left' })
      return
    }
    const admission = this.#connector.admit(nowMs, swarm, { peerId, dialled, from })
    if ('refusal' in admission) {
      this.#state.effect({ kind: 'close', connection, reason: admission.refusal })
      this.#connector.gone(nowMs, swarm, dialled)
      return
    }
    if (admission.twin !== undefined) this.#drop(nowMs, admission.twin, 'duplicate')
    for (const idle of admission.madeRoom) this.#drop(nowMs, idle, 'made-room')
    const peer = createPeer({
      connection,
      swarm,
      peerId,
      dialled,
      from,
      hasFast: event.hasFast,
      blockBytesMax: STANDARD_REQUEST_BYTES_MAX,
      requestsMax: STANDARD_REQUESTS_MAX,
      requestedBytesMax: this.#state.limits.requestedBytesPerPeerMax,
      nowMs,
    })
    this.#state.peers.set(connection, peer)
    swarm.peerCame(peer)
    this.#greet(peer, event.hasExtensions)
    if (this.#keepAliveAtMs === Number.POSITIVE_INFINITY) {
      this.#keepAliveAtMs = nowMs + KEEP_ALIVE_MS
      this.#state.wakeAt(this.#keepAliveAtMs)
    }
  }

  /** What is here comes first (BEP 3); requests are allowed last, when the peer knows how long a block may be. */
  #greet(peer: Peer, hasExtensions: boolean): void {
    const { have } = peer.swarm
    // Shoal's peers have both extensions. rtorrent, which has not, must know of pieces before it is allowed to ask: else it finds
    // nothing to ask for, and looks again 30 s later.
    const isShownByOne = hasExtensions && peer.hasFast && this.#superseeder.enlist(peer)
    if (isShownByOne) this.#state.send(peer, { kind: 'have-none' })
    else if (peer.hasFast && have.isFull) this.#state.send(peer, { kind: 'have-all' })
    else if (peer.hasFast && have.setCount === 0) this.#state.send(peer, { kind: 'have-none' })
    else if (have.setCount > 0) this.#state.send(peer, { kind: 'bitfield', bytes: have.toBytes() })
    if (hasExtensions) {
      const payload = encodeExtensionHandshake({
        requestsMax: this.#state.limits.queuedRequestsPerPeerMax,
        shoal: {
          blockBytesMax: this.#state.limits.blockBytesMax,
          ticket: new Uint8Array(0),
          isSource: this.#isSource && have.isFull,
          zone: this.#zone,
        },
      })
      this.#state.send(peer, { kind: 'extended', id: EXTENSION_HANDSHAKE_ID, payload })
    }
    this.#state.send(peer, { kind: 'unchoke' })
  }

  #disconnected(nowMs: number, connection: ConnectionId): void {
    const peer = this.#state.peers.get(connection)
    if (peer !== undefined) this.#forget(nowMs, peer.swarm, [peer])
  }

  #drop(nowMs: number, peer: Peer, reason: CloseReason): void {
    this.#state.close(peer, reason)
    this.#forget(nowMs, peer.swarm, [peer])
  }

  /**
   * The connections are closed, whoever closed them and why: the one way for a peer to go. When nothing here names these peers
   * any more, those that stay get what they leave: pieces to be shown, room to be served in, pieces and buffers.
   */
  #forget(nowMs: number, swarm: NodeSwarm, peers: readonly Peer[]): void {
    for (const peer of peers) {
      this.#state.peers.delete(peer.connection)
      swarm.peerGone(peer)
      this.#superseeder.forget(peer)
      this.#connector.gone(nowMs, swarm, peer.dialled)
      this.#uploader.forget(peer)
      this.#downloader.forget(peer)
    }
    this.#superseeder.showMore(swarm)
    this.#uploader.serve(nowMs)
    this.#downloader.roomMade(nowMs, swarm)
  }

  #message(nowMs: number, peer: Peer, message: PeerMessage): void {
    switch (message.kind) {
      case 'have':
        if (message.index >= peer.have.length) this.#drop(nowMs, peer, 'bad-message')
        else if (peer.swarm.peerHas(peer, message.index)) {
          this.#superseeder.seen(peer, message.index)
          if (!peer.swarm.have.has(message.index) || peer.have.isFull) this.#peerHasMore(nowMs, peer)
        }
        break
      case 'bitfield': {
        const have = Bitfield.fromBytes(message.bytes, peer.have.length)
        if (have === undefined) {
          this.#drop(nowMs, peer, 'bad-message')
          return
        }
        let isNews = false
        for (let index = 0; index < have.length; index++)
          if (have.has(index) && peer.swarm.peerHas(peer, index)) isNews = true
        // aria2 sends one in the place of several haves, all along: with one piece more each, they are no more than there are pieces.
        if (isNews) this.#peerHasMore(nowMs, peer)
        else this.#mayState(nowMs, peer)
        break
      }
      case 'have-all':
        if (!this.#mayState(nowMs, peer)) return
        for (let index = 0; index < peer.have.length; index++) peer.swarm.peerHas(peer, index)
        this.#peerHasMore(nowMs, peer)
        break
      case 'choke':
        peer.isChoking = true
        this.#downloader.choked(peer)
        this.#downloader.fillSwarm(nowMs, peer.swarm)
        break
      case 'unchoke':
        peer.isChoking = false
        this.#downloader.fill(nowMs, peer)
        break
      case 'request':
        this.#request(nowMs, peer, blockOf(message))
        break
      case 'cancel':
        this.#uploader.cancel(peer, blockOf(message))
        break
      case 'reject':
        this.#downloader.rejected(nowMs, peer, blockOf(message))
        break
      case 'extended':
        if (message.id === EXTENSION_HANDSHAKE_ID) this.#extensionHandshake(nowMs, peer, message.payload)
        break
      case 'interested':
        // webtorrent overlooks an unchoke that comes right behind the handshake; what it asks for, it hears.
        if (!peer.isShoal) this.#state.send(peer, { kind: 'unchoke' })
        break
      // Nobody is choked here, so nobody's interest matters; suggestions and what is allowed while choked are not used.
      case 'not-interested':
      case 'have-none':
      case 'suggest':
      case 'allowed-fast':
      case 'keep-alive':
        break
    }
  }

  #request(nowMs: number, peer: Peer, block: Block): void {
    const refusal = this.#uploader.request(nowMs, peer, block)
    if (refusal !== undefined) this.#drop(nowMs, peer, refusal)
  }

  #extensionHandshake(nowMs: number, peer: Peer, payload: Uint8Array): void {
    try {
      const { requestsMax, shoal } = decodeExtensionHandshake(payload)
      if (requestsMax !== undefined) peer.requestsMax = Math.min(requestsMax, REQUESTS_MAX)
      if (shoal === undefined) {
        this.#superseeder.showEverything(peer)
        return
      }
      const { blockBytesMax } = this.#state.limits
      peer.isShoal = true
      peer.blockBytesMax = blockBytesMax
      peer.pipeline.blockBytesMax = Math.min(shoal.blockBytesMax, blockBytesMax)
      if (shoal.isSource) peer.swarm.peerIsSource(peer)
      if (shoal.zone !== this.#zone) peer.swarm.peerIsOutside(peer)
      this.#superseeder.show(peer)
      this.#downloader.fill(nowMs, peer)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.#drop(nowMs, peer, 'bad-message')
    }
  }

  /** Five bytes that say of every piece that it is there are work for every piece. */
  #mayState(nowMs: number, peer: Peer): boolean {
    if (++peer.statements <= STATEMENTS_MAX) return true
    this.#drop(nowMs, peer, 'bad-message')
    return false
  }

  #peerHasMore(nowMs: number, peer: Peer): void {
    if (peer.have.isFull && peer.swarm.have.isFull) this.#state.wakeAt(nowMs + COMPLETE_LINGER_MS)
    this.#downloader.fill(nowMs, peer)
  }

  #pieceHere(nowMs: number, swarm: NodeSwarm, index: number): void {
    if (!swarm.pieceHere(index)) return
    this.#state.effect({ kind: 'piece-here', infoHash: swarm.infoHash, index })
    for (const peer of swarm.peers) {
      // Who is shown pieces one by one hears of this one when it is its turn.
      if (peer.shown !== undefined) {
        this.#superseeder.show(peer)
        continue
      }
      if (!peer.have.has(index)) {
        this.#state.send(peer, { kind: 'have', index })
        continue
      }
      // It has it as well, and is told all the same: it serves those first that have least, by what it knows of them.
      peer.untold.push(index)
      if (peer.untold.length >= UNTOLD_MAX) this.#tellAll(peer)
    }
    if (swarm.have.isFull) for (const peer of swarm.peers) this.#tellAll(peer)
    if (swarm.have.isFull) this.#state.wakeAt(nowMs + COMPLETE_LINGER_MS)
    this.#downloader.pieceDone(nowMs, swarm)
  }

  #tellAll(peer: Peer): void {
    for (const index of peer.untold.splice(0)) this.#state.send(peer, { kind: 'have', index })
  }

  #blame(nowMs: number, peer: Peer, index: number): void {
    const { infoHash } = peer.swarm
    this.#state.effect({ kind: 'bad-piece', infoHash, index, peerId: peer.peerId })
    this.#connector.ban(peer)
    if (this.#state.isConnected(peer)) this.#drop(nowMs, peer, 'bad-piece')
    else this.#downloader.fillSwarm(nowMs, peer.swarm)
  }

  #unasked(nowMs: number, peer: Peer, bytes: number): void {
    peer.cancelledBytes -= bytes
    if (peer.cancelledBytes < -UNASKED_BYTES_MAX) this.#drop(nowMs, peer, 'unasked-blocks')
  }

  #timer(nowMs: number): void {
    this.#state.timerCame()
    for (const peer of this.#downloader.checkSilence(nowMs)) this.#drop(nowMs, peer, 'silent')
    for (const swarm of this.#state.swarms.values())
      if (swarm.isDownloading) this.#connector.dial(nowMs, swarm)
    this.#downloader.fillAll(nowMs)
    this.#uploader.serve(nowMs)
    this.#closeIdle(nowMs)
    this.#keepAlive(nowMs)
    if (this.#downloader.isWaiting) this.#state.wakeAt(nowMs + CHECK_MS)
  }

  #closeIdle(nowMs: number): void {
    for (const peer of this.#state.peers.values()) {
      if (!peer.have.isFull || !peer.swarm.have.isFull) continue
      if (nowMs - Math.max(peer.lastServedAtMs, peer.lastBlockAtMs) < COMPLETE_LINGER_MS) {
        this.#state.wakeAt(nowMs + COMPLETE_LINGER_MS)
      } else if (peer.sends.length === 0) this.#drop(nowMs, peer, 'both-complete')
    }
  }

  #keepAlive(nowMs: number): void {
    if (nowMs < this.#keepAliveAtMs) {
      if (this.#keepAliveAtMs !== Number.POSITIVE_INFINITY) this.#state.wakeAt(this.#keepAliveAtMs)
      return
    }
    for (const peer of this.#state.peers.values()) this.#state.send(peer, { kind: 'keep-alive' })
    this.#keepAliveAtMs = this.#state.peers.size > 0 ? nowMs + KEEP_ALIVE_MS : Number.POSITIVE_INFINITY
    this.#state.wakeAt(this.#keepAliveAtMs)
  }

  #withPeer(connection: ConnectionId, act: (peer: Peer) => void): void {
    // What was under way when a connection closed may still be told of.
    const peer = this.#state.peers.get(connection)
    if (peer !== undefined) act(peer)
  }

  /** Broken bookkeeping is a bug: checked by tests after every step. */
  check(): void {
    checkNode(this.#state, this.#downloader, this.#uploader)
  }
}

function blockOf({ index, begin, length }: { index: number; begin: number; length: number }) {
  return { index, begin, length }
}
