/**
 * The reference engine, on webtorrent: interoperable with every BitTorrent client, TCP only, and slow.
 *
 * Nothing of webtorrent's shows outside this file. What its public interface lacks (telling it of a piece that came from
 * elsewhere, looking at a connection before it does) is done through `_markVerified` and its connection pool.
 */
import { hash } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import type { AddressInfo } from 'node:net'
import {
  bytesEqual,
  encodeTorrent,
  type PeerAddress,
  pieceBytes,
  pieceCount,
  pieceSha256,
  READER_WINDOW_PIECES,
} from '@shoal/core'
import WebTorrent, { type ChunkStore, type Torrent, type Wire } from 'webtorrent'
import type { Swarm, SwarmEngine, SwarmEngineInit, SwarmEvents, SwarmInit } from './engine.ts'
import { PeerListenError, PieceMismatchError } from './errors.ts'
import { routeByFirstByte } from './peer-port.ts'

/** Connections that are dialled for one swarm; incoming ones are bounded by the handout. */
const DIALLED_PER_SWARM_MAX = 32
const UPLOAD_SLOTS = 8
const READER_PRIORITY = 10

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
    tcpServer.on('connection', (socket) =>
      routeByFirstByte(socket, { bittorrent: acceptPeer, other: onOtherProtocol }),
    )
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
    if (this.#client === undefined) throw new Error('the engine is not started')
    const swarm = new WebTorrentSwarm(this.#client, init, () => this.#swarms.delete(swarm))
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
  readonly #pieceCount: number
  readonly #onLeft: () => void
  #readerPositions: readonly number[] = []
  #isDownloading = false

  constructor(client: WebTorrent, init: SwarmInit, onLeft: () => void) {
    super()
    this.#init = init
    this.infoHash = init.infoHash
    this.#onLeft = onLeft
    const { metainfo, pieces } = init
    this.#pieceCount = pieceCount(metainfo)
    this.#torrent = client.add(encodeTorrent(metainfo), {
      announce: [],
      store: chunkStoreOf(init, (index) => this.emit('mismatch', index)),
      storeCacheSlots: 0,
      skipVerify: pieces.have.isFull,
      bitfield: pieces.have.toBytes(),
      strategy: 'rarest',
      deselect: true,
      uploads: UPLOAD_SLOTS,
    })
    this.#torrent.on('verified', (index: number) => {
      // Start-up marks what was there; only what was written since is news.
      if (this.#torrent.ready) this.emit('piece', index)
    })
    this.#torrent.on('wire', (wire: Wire) => {
      wire.on('download', (bytes: number) => this.emit('received', bytes, wire.peerId))
      wire.on('upload', (bytes: number) => this.emit('sent', bytes))
    })
    this.#torrent.on('warning', (warning: Error) => {
      const failed = /^Piece (\d+) failed verification/.exec(warning.message)
      if (failed !== null) this.emit('mismatch', Number(failed[1]))
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
    if (this.#torrent.destroyed) return
    for (const { host, port } of peers)
      this.#torrent.addPeer(host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)
  }

  download(): void {
    if (this.#torrent.destroyed || this.#isDownloading || this.#pieceCount === 0) return
    this.#isDownloading = true
    this.#torrent.select(0, this.#pieceCount - 1, 0)
    this.setReaderPositions(this.#readerPositions)
  }

  pause(): void {
    if (this.#torrent.destroyed || !this.#isDownloading) return
    this.#isDownloading = false
    this.#torrent.deselect(0, this.#pieceCount - 1)
  }

  setReaderPositions(pieceIndexes: readonly number[]): void {
    this.#readerPositions = pieceIndexes
    if (this.#torrent.destroyed || !this.#isDownloading) return
    for (const index of pieceIndexes) {
      const last = Math.min(index + READER_WINDOW_PIECES, this.#pieceCount) - 1
      if (this.#init.pieces.have.nextMissing(index) > last) continue
      this.#torrent.select(index, last, READER_PRIORITY)
      this.#torrent.critical(index, last)
    }
  }

  addPiece(index: number): void {
    if (this.#torrent.destroyed) return
    this.#torrent._markVerified(index)
    for (const wire of this.#torrent.wires) wire.have(index)
    this.#torrent._checkDone()
  }

  async leave(): Promise<void> {
    this.#onLeft()
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
      pieces.writePiece(index, bytes).then(() => callback(null), callback)
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
        callback(new RangeError(`bytes beyond the end of piece ${index} were asked for`))
        return
      }
      pieces.readRange(pieceStart + offset, pieceStart + offset + length).then(
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
