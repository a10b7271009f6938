/**
 * Announces and scrapes of standard BitTorrent clients over HTTP (BEP 3, BEP 23, BEP 48), answered from the tracker's
 * table. `bittorrent-tracker` parses and encodes; it keeps no swarms of its own, so none can be forgotten or pile up.
 */
import { reachableHost } from '@shoal/core'
import type { TrackerTable } from '@shoal/engine'
import Server, { type StandardSwarm } from 'bittorrent-tracker/server'
import type { FastifyInstance } from 'fastify'
import type { TrackerDriver } from './driver.ts'

const ANNOUNCE_INTERVAL_MS = 2 * 60_000

export interface StandardAnnouncesParts {
  readonly table: TrackerTable
  readonly drive: TrackerDriver
  /**
   * Whether a swarm of this info hash may exist: anything else is refused.
   * @param ip who asks; fails where that address asks for too much that is not there
   */
  readonly isKnown: (infoHash: string, ip: string) => Promise<boolean>
  /** Nobody else's to take. */
  readonly seederId: string
}

export function serveStandardAnnounces(http: FastifyInstance, parts: StandardAnnouncesParts): void {
  const server = new TableServer(parts)
  // A client's mistake; it has been answered.
  server.on('warning', () => {})
  server.on('error', () => {})
  for (const action of ['announce', 'scrape'] as const) {
    http.get(`/${action}`, { logLevel: 'warn' }, (request, reply) => {
      reply.hijack()
      server.onHttpRequest(request.raw, reply.raw, { action })
    })
  }
  http.addHook('onClose', () => server.close())
}

class TableServer extends Server {
  readonly #parts: StandardAnnouncesParts

  constructor(parts: StandardAnnouncesParts) {
    super({
      interval: ANNOUNCE_INTERVAL_MS,
      http: false,
      udp: false,
      ws: false,
      stats: false,
      filter: (infoHash, { httpReq }, callback) => {
        parts.isKnown(infoHash, httpReq.socket.remoteAddress ?? '').then(
          (isKnown) => callback(isKnown ? undefined : new Error('no such torrent here')),
          () => callback(new Error('the tracker cannot look that torrent up now; try again')),
        )
      },
    })
    this.#parts = parts
  }

  override getSwarm(
    infoHash: string | Uint8Array,
    callback: (error: Error | null, swarm?: StandardSwarm) => void,
  ): void {
    const key = typeof infoHash === 'string' ? infoHash : Buffer.from(infoHash).toString('hex')
    callback(null, swarmView(key, this.#parts))
  }
}

/** One swarm of the table in the shape that bittorrent-tracker asks for. */
function swarmView(infoHash: string, { table, drive, seederId }: StandardAnnouncesParts): StandardSwarm {
  return {
    announce(params, callback) {
      if (params.peer_id === seederId) return callback(new Error('this id is taken'))
      const address = { peerId: params.peer_id, host: params.ip, port: params.port, role: 'agent' as const }
      drive(
        params.event === 'stopped'
          ? { kind: 'standard-stopped', infoHash, peerId: params.peer_id }
          : { kind: 'standard-announced', infoHash, address, isComplete: params.left === 0 },
      )
      const peers = params.event === 'stopped' ? [] : table.sample(infoHash, params.peer_id, params.numwant)
      callback(null, {
        ...table.counts(infoHash),
        peers: peers.map(({ peerId, host, port }) => ({
          peerId,
          ip: reachableHost(host, params.httpReq.socket.localAddress),
          port,
        })),
      })
    },
    scrape(_params, callback) {
      callback(null, table.counts(infoHash))
    },
  }
}
