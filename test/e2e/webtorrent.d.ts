/** What the test of standard clients uses of webtorrent, as any program would. */
declare module 'webtorrent' {
  import type { EventEmitter } from 'node:events'

  export default class WebTorrent extends EventEmitter {
    constructor(options: Readonly<Record<string, unknown>>)
    add(torrent: Uint8Array, options: { path: string }): EventEmitter
    destroy(callback: () => void): void
  }
}
