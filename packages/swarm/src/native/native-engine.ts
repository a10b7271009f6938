/**
 * Shoal's own engine: performs on sockets and disks what `NodeEngine` decides.
 *
 *   peers ──▶ peer connections ──events──▶ NodeEngine ──effects──▶ here
 *                  │ ▲                                              │
 *                  ▼ │                                              ▼
 *                 pages ◀── page cache ◀── pieces on disk ◀── hasher, writes
 *
 * A byte that arrives is touched three times: the kernel puts it into a page, the hashing thread reads it there, the kernel
 * takes it to the file. One that leaves goes from its page to the kernel.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import {
  assert,
  bytesEqual,
  type InfoHash,
  type MayDial,
  mayDialFrom,
  type PeerAddress,
  pieceSha256,
} from '@shoal/core'
import {
  type ConnectionId,
  FairBytes,
  FairPlaces,
  type FetchId,
  type NodeEffect,
  NodeEngine,
  type NodeEvent,
} from '@shoal/engine'
import { sharedHasher } from '@shoal/storage'
import type { Handshake } from '@shoal/wire'
import { connectPeer } from '../connect-peer.ts'
import {
  DEFAULT_SWARM_LIMITS,
  type Swarm,
  type SwarmEngine,
  type SwarmEngineInit,
  type SwarmInit,
  type SwarmLimits,
} from '../engine.ts'
import { PeerListenError } from '../errors.ts'
import { routeByFirstByte } from '../peer-port.ts'
import { FetchBuffer } from './fetch-buffer.ts'
import { HeldHaves } from './held-haves.ts'
import { NativeSwarm } from './native-swarm.ts'
import { PageCache } from './page-cache.ts'
import { PAGE_BYTES, PagePool } from './page-pool.ts'
import { PeerConnection } from './peer-connection.ts'
import { type ShakenHands, shakeHands } from './shake-hands.ts'

const DIAL_TIMEOUT_MS = 3_000
const HANDSHAKE_TIMEOUT_MS = 5_000
/** Of the buffers, what sending may hold; the rest is for what arrives. */
const READ_SHARE = 1 / 4
/** Of the unfinished handshakes, how many may be of one address. */
const UNFINISHED_ADDRESS_SHARE = 1 / 2
/** Control messages that peers leave unread: of all, and of one address. */
const UNREAD = { bytesMax: 32 * 1024 * 1024, bytesPerAddressMax: 8 * 1024 * 1024 }
/** Who takes nothing for so long while others wait for its pages gives them back. */
const PAGE_STALLED_MS = 3_000
const PAGE_LOOK_MS = 500
/** Pieces that were given up while they were being hashed or written hold their pages for a moment. */
const SLACK_SHARE = 1 / 4

interface Joined {
  readonly init: SwarmInit
  readonly swarm: NativeSwarm
  readonly connections: Set<ConnectionId>
  /** Writes under way. */
  readonly writing: Set<Promise<void>>
  /** Where not every hash is known. */
  readonly held: HeldHaves | undefined
}

interface Connected {
  readonly connection: PeerConnection
  readonly infoHash: InfoHash
  readonly peerId: string
}

export class NativeEngine implements SwarmEngine {
  readonly #init: SwarmEngineInit
  readonly #limits: SwarmLimits
  readonly #mayDial: MayDial
  readonly #decider: NodeEngine
  readonly #cache: PageCache
  readonly #pool: PagePool
  readonly #swarms = new Map<InfoHash, Joined>()
  readonly #connections = new Map<ConnectionId, Connected>()
  readonly #buffers = new Map<FetchId, FetchBuffer>()
  readonly #connectionOfFetch = new Map<FetchId, ConnectionId>()
  /** Sockets that were accepted and have not finished a handshake yet; who comes takes the place of who has idled longest. */
  readonly #accepting: FairPlaces<Socket>
  /** All on which no handshake is finished yet. */
  readonly #unfinished = new Set<Socket>()
  readonly #unread = new FairBytes<PeerConnection>(UNREAD)
  #pageTimer: NodeJS.Timeout | undefined
  readonly #events: NodeEvent[] = []
  #isStepping = false
  #nextConnection: ConnectionId = 1
  #timer: NodeJS.Timeout | undefined
  #server: Server | undefined
  #port = 0

  constructor(init: SwarmEngineInit) {
    this.#init = init
    this.#limits = { ...DEFAULT_SWARM_LIMITS, ...init.limits }
    this.#mayDial = init.mayDial ?? mayDialFrom([init.host], () => [this.address])
    const { bufferBytes, unfinishedHandshakesMax, ...limits } = this.#limits
    const readBytesMax = bufferBytes * READ_SHARE
    this.#decider = new NodeEngine({
      peerId: init.peerId,
      prng: init.prng,
      isSource: init.isSource ?? false,
      zone: init.zone ?? '',
      limits: { ...limits, receiveBytesMax: bufferBytes - readBytesMax },
    })
    this.#pool = new PagePool({ bytesMax: bufferBytes * (1 + SLACK_SHARE) })
    this.#cache = new PageCache(this.#pool, { readBytesMax, onWait: () => this.#pagesWanted() })
    this.#accepting = new FairPlaces({
      placesMax: unfinishedHandshakesMax,
      placesPerAddressMax: Math.ceil(unfinishedHandshakesMax * UNFINISHED_ADDRESS_SHARE),
    })
  }

  get peerId() {
    return this.#init.peerId
  }

  get address() {
    return { host: this.#init.host, port: this.#port }
  }

  /** Memory that pieces take, in use or kept for use. */
  get bufferBytes(): number {
    return this.#pool.pageCount * PAGE_BYTES
  }

  async start(): Promise<void> {
    const { host, port } = this.#init
    const server = createServer((socket) => this.#accepted(socket))
    server.listen(port, host)
    try {
      await once(server, 'listening')
    } catch (cause) {
      throw new PeerListenError(host, port, { cause })
    }
    // The system could not accept a connection, as when it has no descriptor left: the next may fare better.
    server.on('error', () => {})
    this.#server = server
    this.#port = (server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    server.close()
    await Promise.all([...this.#swarms.values()].map(({ swarm }) => swarm.leave()))
    for (const socket of this.#unfinished) socket.destroy()
    for (const { connection } of this.#connections.values()) connection.close()
    clearTimeout(this.#timer)
    clearTimeout(this.#pageTimer)
    this.#cache.stop()
    this.#pool.stop()
  }

  async join(init: SwarmInit): Promise<Swarm> {
    assert(this.#server !== undefined, 'the engine is started before a swarm is joined')
    const { infoHash, metainfo, pieces, knownPieces, isGrowing = false } = init
    const joined: Joined = {
      init,
      connections: new Set(),
      writing: new Set(),
      held: knownPieces && new HeldHaves(knownPieces),
      swarm: new NativeSwarm({
        infoHash,
        step: (event) => this.#step(event),
        learnPiece: (index) => this.#learn(joined, index),
        peersConnected: () => joined.connections.size,
        leave: () => this.#leave(joined),
      }),
    }
    this.#swarms.set(infoHash, joined)
    this.#step({
      kind: 'swarm-joined',
      infoHash,
      shape: { length: metainfo.length, pieceLength: metainfo.pieceLength },
      have: pieces.have,
      isGrowing,
    })
    return joined.swarm
  }

  async #leave(joined: Joined): Promise<void> {
    const { infoHash, pieces } = joined.init
    if (this.#swarms.get(infoHash) !== joined) return
    this.#step({ kind: 'swarm-left', infoHash })
    this.#swarms.delete(infoHash)
    await Promise.all(joined.writing)
    this.#cache.forget(pieces)
  }

  #learn(joined: Joined, index: number): void {
    for (const connection of joined.held?.learn(index) ?? [])
      this.#step({ kind: 'message', connection, message: { kind: 'have', index } })
  }

  /** Events that come up while effects are performed wait for their turn. */
  #step(event: NodeEvent): void {
    this.#events.push(event)
    if (this.#isStepping) return
    this.#isStepping = true
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        for (const effect of this.#decider.step(nowMs(), next)) this.#perform(effect)
      }
    } finally {
      this.#isStepping = false
    }
  }

  #perform(effect: NodeEffect): void {
    switch (effect.kind) {
      case 'dial':
        void this.#dial(effect.infoHash, effect.address)
        break
      case 'close':
        this.#connections.get(effect.connection)?.connection.close()
        break
      case 'send':
        this.#connections.get(effect.connection)?.connection.send(effect.message)
        break
      case 'request':
        this.#connectionOfFetch.set(effect.fetch, effect.connection)
        this.#connections.get(effect.connection)?.connection.request(effect.fetch, effect.block)
        break
      case 'cancel':
        this.#connections.get(effect.connection)?.connection.cancel(effect.fetch, effect.block)
        break
      case 'send-block':
        this.#connections.get(effect.connection)?.connection.sendBlock(effect.block)
        break
      case 'verify':
        void this.#verify(effect)
        break
      case 'write':
        this.#write(effect)
        break
      case 'release':
        this.#release(effect.fetch)
        break
      case 'piece-here':
        this.#swarms.get(effect.infoHash)?.swarm.emit('piece', effect.index)
        break
      case 'bad-piece':
        this.#swarms.get(effect.infoHash)?.swarm.emit('mismatch', effect.index, effect.peerId)
        break
      case 'set-timer':
        clearTimeout(this.#timer)
        this.#timer = setTimeout(() => this.#step({ kind: 'timer' }), Math.max(0, effect.atMs - nowMs()))
        this.#timer.unref()
        break
    }
  }

  // Connections

  #accepted(socket: Socket): void {
    const place = this.#accepting.take(socket.remoteAddress ?? '', socket)
    if (place.kind === 'refused') {
      socket.destroy()
      return
    }
    place.displaced?.destroy()
    this.#isUnfinished(socket)
    const { onOtherProtocol, peerId } = this.#init
    routeByFirstByte(socket, peerId, {
      bittorrent: (routed) => {
        void this.#shaken(
          routed,
          shakeHands(routed, (theirs) => this.#answer(theirs), HANDSHAKE_TIMEOUT_MS),
          undefined,
        )
      },
      other:
        onOtherProtocol &&
        ((routed) => {
          this.#isFinished(routed)
          onOtherProtocol(routed)
        }),
    })
  }

  async #dial(infoHash: InfoHash, address: PeerAddress): Promise<void> {
    const { peerId } = this.#init
    const socket = connectPeer(address, this.#mayDial)
    if (socket === undefined) return this.#step({ kind: 'dial-failed', infoHash, address })
    this.#isUnfinished(socket)
    socket.setTimeout(DIAL_TIMEOUT_MS)
    socket.once('timeout', () => socket.destroy())
    await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve))
    socket.setTimeout(0)
    const ours = { infoHash, peerId, hasFast: true, hasExtensions: true }
    const isConnected =
      !socket.destroyed &&
      (await this.#shaken(socket, shakeHands(socket, ours, HANDSHAKE_TIMEOUT_MS), address))
    if (!isConnected) this.#step({ kind: 'dial-failed', infoHash, address })
  }

  #answer({ infoHash }: Handshake): Handshake | undefined {
    if (!this.#swarms.has(infoHash)) return undefined
    return { infoHash, peerId: this.#init.peerId, hasFast: true, hasExtensions: true }
  }

  #isUnfinished(socket: Socket): void {
    this.#unfinished.add(socket)
    socket.once('close', () => this.#isFinished(socket))
  }

  #isFinished(socket: Socket): void {
    this.#unfinished.delete(socket)
    this.#accepting.free(socket)
  }

  async #shaken(
    socket: Socket,
    shaking: Promise<ShakenHands | undefined>,
    dialled: PeerAddress | undefined,
  ): Promise<boolean> {
    socket.on('error', () => socket.destroy())
    const shaken = await shaking
    this.#isFinished(socket)
    const joined = shaken && this.#swarms.get(shaken.theirs.infoHash)
    if (shaken === undefined || joined === undefined || socket.destroyed) {
      socket.destroy()
      return false
    }
    const { theirs, rest } = shaken
    const id = this.#nextConnection++
    const { metainfo, pieces } = joined.init
    const ip = socket.remoteAddress
    const connection: PeerConnection = new PeerConnection(
      {
        pageOf: (fetch, bytes, offset) => this.#bufferOf(fetch, bytes).pageAt(offset),
        readPage: async (number) => {
          try {
            return await this.#cache.read(pieces, number, metainfo)
          } catch (error) {
            joined.swarm.emit('unreadable', error as Error)
            throw error
          }
        },
        donePage: (page) => this.#cache.done(page),
        unsentControl: (bytes) => this.#unsentControl(connection, ip ?? '', bytes),
      },
      { socket, rest, shape: metainfo, blockBytesMax: this.#limits.blockBytesMax },
    )
    connection.open()
    this.#connections.set(id, { connection, infoHash: theirs.infoHash, peerId: theirs.peerId })
    joined.connections.add(id)
    connection.on('message', (message) => {
      const heard = joined.held === undefined ? message : joined.held.hear(id, message)
      if (heard !== undefined) this.#step({ kind: 'message', connection: id, message: heard })
    })
    connection.on('arrived', (fetch, block) => {
      joined.swarm.emit('received', block.length, theirs.peerId)
      this.#step({ kind: 'block-arrived', connection: id, fetch, block })
    })
    connection.on('unasked', (block) => this.#step({ kind: 'block-unasked', connection: id, block }))
    connection.on('sent', (block) => {
      joined.swarm.emit('sent', block.length)
      this.#step({ kind: 'block-sent', connection: id, block })
    })
    connection.on('stalled', () => this.#step({ kind: 'send-stalled', connection: id }))
    connection.on('closed', () => {
      this.#connections.delete(id)
      this.#unread.holds(ip ?? '', connection, 0)
      joined.connections.delete(id)
      joined.held?.gone(id)
      this.#step({ kind: 'disconnected', connection: id })
    })
    this.#step({
      kind: 'connected',
      connection: id,
      infoHash: theirs.infoHash,
      peerId: theirs.peerId,
      ...(dialled !== undefined && { dialled }),
      ...(ip !== undefined && { ip }),
      hasFast: theirs.hasFast,
      hasExtensions: theirs.hasExtensions,
    })
    if (!connection.isClosed) connection.start()
    return true
  }

  #unsentControl(connection: PeerConnection, ip: string, bytes: number): void {
    for (const greedy of this.#unread.holds(ip, connection, bytes))
      greedy.close(new Error('the peers at its address ask and do not listen'))
  }

  /** While somebody waits for a page, of those who have some and take nothing the one that has stood still longest is closed. */
  #pagesWanted(): void {
    this.#pageTimer ??= setTimeout(() => {
      this.#pageTimer = undefined
      if (!this.#cache.isWaitedFor) return
      const now = performance.now()
      let stillest: PeerConnection | undefined
      let longestMs = PAGE_STALLED_MS
      for (const { connection } of this.#connections.values()) {
        const stalledForMs = connection.stalledForMs(now)
        if (stalledForMs < longestMs) continue
        stillest = connection
        longestMs = stalledForMs
      }
      stillest?.close(new Error('the peer takes nothing, and others wait'))
      this.#pagesWanted()
    }, PAGE_LOOK_MS)
  }

  // Pieces

  #bufferOf(fetch: FetchId, bytes: number): FetchBuffer {
    let buffer = this.#buffers.get(fetch)
    if (buffer === undefined) {
      buffer = new FetchBuffer(this.#cache, bytes)
      this.#buffers.set(fetch, buffer)
    }
    return buffer
  }

  async #verify({ infoHash, fetch, index }: Extract<NodeEffect, { kind: 'verify' }>): Promise<void> {
    const joined = this.#swarms.get(infoHash)
    const buffer = this.#buffers.get(fetch)
    // The swarm was left in this very turn.
    if (joined === undefined || buffer === undefined) return
    try {
      const found = await buffer.whileUsed(() => sharedHasher.sha256(buffer.parts()))
      const isRight = bytesEqual(found, pieceSha256(joined.init.metainfo, index))
      this.#step({ kind: 'piece-verified', infoHash, fetch, isRight })
    } catch (error) {
      this.#giveUp(joined, error as Error)
    }
  }

  #write({ infoHash, fetch, index }: Extract<NodeEffect, { kind: 'write' }>): void {
    const joined = this.#swarms.get(infoHash)
    const buffer = this.#buffers.get(fetch)
    if (joined === undefined || buffer === undefined) return
    const { pieces, metainfo } = joined.init
    const write = async () => {
      try {
        await buffer.whileUsed(async () => {
          await pieces.writePiece(index, buffer.parts())
          buffer.keepIn(this.#cache, pieces, index, metainfo)
        })
        this.#step({ kind: 'piece-written', infoHash, fetch })
      } catch (error) {
        this.#step({ kind: 'write-failed', infoHash, fetch })
        this.#giveUp(joined, error as Error)
      }
    }
    const writing = write().finally(() => joined.writing.delete(writing))
    joined.writing.add(writing)
  }

  #giveUp(joined: Joined, error: Error): void {
    this.#step({ kind: 'download-paused', infoHash: joined.init.infoHash })
    joined.swarm.emit('failed', error)
  }

  #release(fetch: FetchId): void {
    const connection = this.#connectionOfFetch.get(fetch)
    this.#connectionOfFetch.delete(fetch)
    if (connection !== undefined) this.#connections.get(connection)?.connection.abandon(fetch)
    this.#buffers.get(fetch)?.release()
    this.#buffers.delete(fetch)
  }
}

function nowMs(): number {
  return Math.floor(performance.now())
}
