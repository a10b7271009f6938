/**
 * The reference engine, on webtorrent: interoperable with every BitTorrent client, TCP only, and slow.
 *
 * Nothing of webtorrent's shows outside this file. What its public interface lacks (telling it of a piece that came from
 * elsewhere, looking at a connection before it does) is done through `_markVerified` and its connection pool.
 */
import { hash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import {
  assert,
  bytesEqual,
  encodeTorrent,
  formatHostPort,
  InvariantError,
  type MayDial,
  mayDialFrom,
  type PeerAddress,
  type PeerId,
  type Prng,
  pieceBytes,
  pieceSha256,
} from '@shoal/core'
import { FairPlaces, pickPieces, READER_WINDOW_PIECES } from '@shoal/engine'
import { readBytes } from '@shoal/storage'
import {
  DEFAULT_SWARM_LIMITS,
  dialableAddresses,
  PeerListenError,
  PieceMismatchError,
  routeByFirstByte,
  type Swarm,
  type SwarmEngine,
  type SwarmEngineInit,
  type SwarmEvents,
  type SwarmInit,
} from '@shoal/swarm'
import WebTorrent, { type ChunkStore, type Torrent, type Wire } from 'webtorrent'

/** Connections that are dialled for one swarm. */
const DIALLED_PER_SWARM_MAX = 32
/** Those that come, of all swarms: a quarter of them is always for other addresses than the one that has most. */
const ACCEPTED_ADDRESS_SHARE = 3 / 4
const UPLOAD_SLOTS = 8
/** Bytes of the pieces that are wanted at a time: some hundred ms of a fast link, more than all pipelines hold. */
const WANTED_BYTES = 32 * 1024 * 1024
const WANTED_PIECES_MIN = 12
/** Haves come in bursts: what they change is looked at once. */
const PICK_DELAY_MS = 10
/** Bad pieces that a peer may have had a part in, since the others that had one may be to blame. */
const SUSPICIONS_MAX = 3

export class WebTorrentEngine implements SwarmEngine {
  readonly #init: SwarmEngineInit
  readonly #swarms = new Set<WebTorrentSwarm>()
  #client: WebTorrent | undefined
  #port = 0

  constructor(init: SwarmEngineInit) {
    this.#init = init
  }

  get peerId() {
    return this.#init.peerId
  }

  get address() {
    return { host: this.#init.host, port: this.#port }
  }

  async start(): Promise<void> {
    const { host, port, peerId, onOtherProtocol } = this.#init
    const client = new WebTorrent({
      peerId,
      torrentPort: { host, port },
      tracker: false,
      dht: false,
      lsd: false,
      utPex: false,
      utp: false,
      natUpnp: false,
      natPmp: false,
      // Both sides must agree; obfuscation protects nothing here.
      secure: 0,
      maxConns: DIALLED_PER_SWARM_MAX,
    })
    try {
      await once(client, 'listening')
    } catch (cause) {
      throw new PeerListenError(host, port, { cause })
    }
    // Torrents report their own failures; what is left is a dial that failed, or a bug that a log line would hide.
    client.on('error', () => {})
    const { tcpServer, _onTCPConnectionBound: acceptPeer } = client._connPool
    tcpServer.removeListener('connection', acceptPeer)
    // The system could not accept a connection: webtorrent would give up all of them.
    tcpServer.removeAllListeners('error')
    tcpServer.on('error', () => {})
    const placesMax = this.#init.limits?.connectionsMax ?? DEFAULT_SWARM_LIMITS.connectionsMax
    const places = new FairPlaces<Socket>({
      placesMax,
      placesPerAddressMax: Math.ceil(placesMax * ACCEPTED_ADDRESS_SHARE),
    })
    tcpServer.on('connection', (socket) => {
      // Which of them do something is not to be seen here: who came first goes first.
      const place = places.take(socket.remoteAddress ?? '', socket)
      if (place.kind === 'taken') place.displaced?.destroy()
      socket.once('close', () => places.free(socket))
      routeByFirstByte(socket, peerId, { bittorrent: acceptPeer, other: onOtherProtocol })
    })
    this.#client = client
    this.#port = (tcpServer.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    const client = this.#client
    if (client === undefined) return
    this.#client = undefined
    await Promise.all([...this.#swarms].map((swarm) => swarm.leave()))
    await new Promise<void>((resolve) => client.destroy(() => resolve()))
  }

  async join(init: SwarmInit): Promise<Swarm> {
    assert(this.#client !== undefined, 'the engine is started before a swarm is joined')
    const mayDial = this.#init.mayDial ?? mayDialFrom([this.#init.host], () => [this.address])
    const parts = { client: this.#client, prng: this.#init.prng, mayDial }
    const swarm = new WebTorrentSwarm(parts, init, () => this.#swarms.delete(swarm))
    this.#swarms.add(swarm)
    await swarm.ready
    return swarm
  }
}

class WebTorrentSwarm extends EventEmitter<SwarmEvents> implements Swarm {
  readonly infoHash
  readonly ready: Promise<void>
  readonly #init: SwarmInit
  readonly #torrent: Torrent
  readonly #onLeft: () => void
  readonly #prng: Prng
  readonly #mayDial: MayDial
  readonly #wantedMax: number
  readonly #wanted = new Set<number>()
  /** Who sent blocks of the pieces that are on their way. */
  readonly #contributorsOf = new Map<number, Set<Wire>>()
  readonly #suspicions = new Map<PeerId, number>()
  readonly #banned = new Set<PeerId>()
  #readerPositions: readonly number[] = []
  #isDownloading = false
  #pickTimer: NodeJS.Timeout | undefined

  constructor(
    { client, prng, mayDial }: { client: WebTorrent; prng: Prng; mayDial: MayDial },
    init: SwarmInit,
    onLeft: () => void,
  ) {
    super()
    this.#prng = prng
    this.#mayDial = mayDial
    this.#init = init
    this.infoHash = init.infoHash
    this.#onLeft = onLeft
    const { metainfo, pieces } = init
    this.#wantedMax = Math.max(WANTED_PIECES_MIN, WANTED_BYTES / metainfo.pieceLength)
    this.#torrent = client.add(encodeTorrent(metainfo), {
      announce: [],
      store: chunkStoreOf(init, (index) => this.#suspect(index)),
      storeCacheSlots: 0,
      skipVerify: pieces.have.isFull,
      bitfield: pieces.have.toBytes(),
      // Of the pieces that are wanted, which are chosen here; its own rarest-first takes the square of their number.
      strategy: 'sequential',
      deselect: true,
      uploads: UPLOAD_SLOTS,
    })
    this.#torrent.on('verified', (index: number) => {
      // Start-up marks what was there; only what was written since is news.
      if (!this.#torrent.ready) return
      this.#wanted.delete(index)
      this.#contributorsOf.delete(index)
      this.emit('piece', index)
      this.#pickSoon()
    })
    this.#torrent.on('wire', (wire: Wire) => {
      if (this.#banned.has(wire.peerId)) return wire.destroy()
      wire.on('piece', (index: number) => this.#contributors(index).add(wire))
      wire.on('download', (bytes: number) => this.emit('received', bytes, wire.peerId))
      wire.on('upload', (bytes: number) => this.emit('sent', bytes))
      for (const news of ['bitfield', 'have', 'have-all', 'close']) wire.on(news, () => this.#pickSoon())
    })
    this.#torrent.on('warning', (warning: Error) => {
      const failed = /^Piece (\d+) failed verification/.exec(warning.message)
      if (failed !== null) this.#suspect(Number(failed[1]))
    })
    this.ready = new Promise((resolve, reject) => {
      this.#torrent.once('ready', resolve)
      this.#torrent.once('error', reject)
    })
    this.#torrent.on('error', (error: Error) => this.emit('failed', error))
  }

  get peersConnected() {
    return this.#torrent.wires.length
  }

  connect(peers: readonly PeerAddress[]): void {
    for (const { host, port } of peers) {
      const found = dialableAddresses({ host, port }, this.#mayDial)
      void found.then(([ip]) => {
        if (ip !== undefined && !this.#torrent.destroyed)
          this.#torrent.addPeer(formatHostPort({ host: ip, port }))
      })
    }
  }

  setImports(): void {
    // It does not know in which zone a peer is, and asks anyone for anything: a zone imports more than once.
  }

  download(): void {
    this.#isDownloading = true
    this.#pick()
  }

  pause(): void {
    this.#isDownloading = false
    this.#unwant([...this.#wanted])
  }

  setReaderPositions(pieceIndexes: readonly number[]): void {
    this.#readerPositions = pieceIndexes
    this.#pick()
  }

  learnPiece(): void {
    throw new InvariantError('the webtorrent engine knows every hash from the start')
  }

  addPiece(index: number): void {
    if (this.#torrent.destroyed) return
    this.#torrent._markVerified(index)
    for (const wire of this.#torrent.wires) wire.have(index)
    this.#torrent._checkDone()
  }

  /** Wants the best of the missing pieces, as many as keep the pipelines full. */
  #pick(): void {
    if (this.#torrent.destroyed || !this.#torrent.ready || !this.#isDownloading) return
    const { wires } = this.#torrent
    const availability = (index: number) =>
      wires.reduce((count, wire) => count + (wire.peerPieces.get(index) ? 1 : 0), 0)
    this.#unwant([...this.#wanted].filter((index) => availability(index) === 0))
    const picked = pickPieces(
      {
        have: this.#init.pieces.have,
        isRequested: (index) => this.#wanted.has(index),
        isOffered: (index) => availability(index) > 0,
        availability,
        readerPositions: this.#readerPositions,
      },
      this.#wantedMax - this.#wanted.size,
      this.#prng,
    )
    for (const index of picked) {
      this.#wanted.add(index)
      const ahead = this.#readerPositions.some((at) => index >= at && index < at + READER_WINDOW_PIECES)
      this.#torrent.select(index, index, ahead ? 1 : 0)
      if (ahead) this.#torrent.critical(index, index)
    }
  }

  #pickSoon(): void {
    if (!this.#isDownloading || this.#wanted.size >= this.#wantedMax) return
    this.#pickTimer ??= setTimeout(() => {
      this.#pickTimer = undefined
      this.#pick()
    }, PICK_DELAY_MS)
  }

  #contributors(index: number): Set<Wire> {
    const wires = this.#contributorsOf.get(index) ?? new Set()
    this.#contributorsOf.set(index, wires)
    return wires
  }

  /** Piece `index` was bad: who sent all of it is dropped, who sent a part is once it has been suspected often. */
  #suspect(index: number): void {
    const wires = this.#contributors(index)
    this.#contributorsOf.delete(index)
    for (const wire of wires) {
      const suspicions = (this.#suspicions.get(wire.peerId) ?? 0) + 1
      this.#suspicions.set(wire.peerId, suspicions)
      if (wires.size > 1 && suspicions < SUSPICIONS_MAX) continue
      this.#banned.add(wire.peerId)
      wire.destroy()
    }
    const [only, ...others] = wires
    this.emit('mismatch', index, others.length === 0 ? only?.peerId : undefined)
  }

  #unwant(indexes: readonly number[]): void {
    if (this.#torrent.destroyed) return
    for (const index of indexes) {
      this.#wanted.delete(index)
      this.#torrent.deselect(index, index)
    }
  }

  async leave(): Promise<void> {
    this.#onLeft()
    clearTimeout(this.#pickTimer)
    if (this.#torrent.destroyed) return
    await new Promise<void>((resolve) => this.#torrent.destroy({ destroyStore: false }, () => resolve()))
  }
}

/** webtorrent makes its store itself; this class, made per swarm, hands it the swarm's pieces. */
function chunkStoreOf({ metainfo, pieces }: SwarmInit, onMismatch: (index: number) => void) {
  return class implements ChunkStore {
    put(index: number, bytes: Uint8Array, callback: (error: Error | null) => void = () => {}): void {
      // webtorrent has checked SHA-1 only.
      if (!bytesEqual(hash('sha256', bytes, 'buffer'), pieceSha256(metainfo, index))) {
        onMismatch(index)
        callback(new PieceMismatchError(metainfo.digest, index, 'a peer'))
        return
      }
      pieces.writePiece(index, [bytes]).then(() => callback(null), callback)
    }

    get(
      index: number,
      range: { offset?: number; length?: number } | null,
      callback: (error: Error | null, bytes?: Uint8Array) => void,
    ): void {
      const pieceStart = index * metainfo.pieceLength
      const offset = range?.offset ?? 0
      const length = range?.length ?? pieceBytes(metainfo, index) - offset
      if (offset + length > pieceBytes(metainfo, index)) {
        callback(new InvariantError(`bytes beyond the end of piece ${index} were asked for`))
        return
      }
      readBytes(pieces, pieceStart + offset, pieceStart + offset + length).then(
        (bytes) => callback(null, bytes),
        (error) => callback(error),
      )
    }

    close(callback: (error?: Error) => void): void {
      queueMicrotask(() => callback())
    }

    destroy(callback: (error?: Error) => void): void {
      queueMicrotask(() => callback())
    }
  }
}
