/** What Shoal uses of webtorrent 3, which brings no types; names with an underscore are webtorrent's own inside. */
declare module 'webtorrent' {
  import type { EventEmitter } from 'node:events'
  import type { Server, Socket } from 'node:net'

  interface Wire extends EventEmitter {
    readonly peerId: string
    readonly peerPieces: { get(index: number): boolean }
    have(index: number): void
    destroy(): void
  }

  interface Torrent extends EventEmitter {
    readonly ready: boolean
    readonly destroyed: boolean
    readonly wires: Wire[]
    addPeer(address: string): boolean
    select(from: number, to: number, priority?: number): void
    deselect(from: number, to: number): void
    critical(from: number, to: number): void
    destroy(options: { destroyStore: boolean }, callback: (error?: Error) => void): void
    _markVerified(index: number): void
    _checkDone(): boolean
  }

  interface ChunkStore {
    put(index: number, bytes: Uint8Array, callback?: (error: Error | null) => void): void
    get(
      index: number,
      options: { offset?: number; length?: number } | null,
      callback: (error: Error | null, bytes?: Uint8Array) => void,
    ): void
    close(callback: (error?: Error) => void): void
    destroy(callback: (error?: Error) => void): void
  }

  interface TorrentOptions {
    announce: string[]
    store: new (chunkLength: number) => ChunkStore
    storeCacheSlots: number
    skipVerify: boolean
    bitfield?: Uint8Array
    strategy: 'rarest' | 'sequential'
    deselect: boolean
    uploads: number
  }

  interface ClientOptions {
    peerId: string
    torrentPort: { host: string; port: number }
    tracker: false
    dht: false
    lsd: false
    utPex: false
    utp: false
    natUpnp: false
    natPmp: false
    secure: 0
    maxConns: number
  }

  export default class WebTorrent extends EventEmitter {
    constructor(options: ClientOptions)
    readonly _connPool: {
      readonly tcpServer: Server
      _onTCPConnectionBound(socket: Socket): void
    }
    add(torrent: Uint8Array, options: TorrentOptions): Torrent
    destroy(callback: (error?: Error) => void): void
  }
}
