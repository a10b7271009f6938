/** What Shoal uses of bittorrent-tracker 11, which brings no types. */
declare module 'bittorrent-tracker/server' {
  import type { EventEmitter } from 'node:events'
  import type { IncomingMessage, ServerResponse } from 'node:http'

  export interface AnnounceParams {
    readonly info_hash: string
    readonly peer_id: string
    readonly ip: string
    readonly port: number
    readonly left: number
    readonly numwant: number
    readonly compact: number
    readonly httpReq: IncomingMessage
    readonly httpRes: ServerResponse
    readonly event: 'started' | 'stopped' | 'completed' | 'update' | 'paused'
  }

  export interface SwarmCounts {
    complete: number
    incomplete: number
  }

  export interface AnnouncedPeer {
    peerId: string
    ip: string
    port: number
  }

  export interface StandardSwarm {
    announce(
      params: AnnounceParams,
      callback: (error: Error | null, answer?: SwarmCounts & { peers: AnnouncedPeer[] }) => void,
    ): void
    scrape(params: unknown, callback: (error: Error | null, counts?: SwarmCounts) => void): void
  }

  export default class Server extends EventEmitter {
    constructor(options: {
      interval: number
      http: false
      udp: false
      ws: false
      stats: false
      filter: (infoHash: string, params: AnnounceParams, callback: (error?: Error) => void) => void
    })
    getSwarm(
      infoHash: string | Uint8Array,
      callback: (error: Error | null, swarm?: StandardSwarm) => void,
    ): void
    createSwarm(
      infoHash: string | Uint8Array,
      callback: (error: Error | null, swarm?: StandardSwarm) => void,
    ): void
    onHttpRequest(
      request: IncomingMessage,
      response: ServerResponse,
      options: { action: 'announce' | 'scrape' },
    ): void
    close(callback?: () => void): void
  }
}
