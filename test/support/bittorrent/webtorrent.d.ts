/** What tests use of webtorrent, as any program would. */
declare module 'webtorrent' {
  import type { EventEmitter } from 'node:events'

  interface Torrent extends EventEmitter {
    addPeer(address: string): boolean
  }

  export default class WebTorrent extends EventEmitter {
    constructor(options: Readonly<Record<string, unknown>>)
    /** Where it listens, once it does. */
    readonly torrentPort: number
    add(torrent: Uint8Array, options: { path: string }): Torrent
    destroy(callback: () => void): void
  }
}
