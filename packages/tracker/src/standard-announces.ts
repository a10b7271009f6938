/**
 * Announces and scrapes of standard BitTorrent clients over HTTP (BEP 3, BEP 23, BEP 48), answered from the tracker's
 * table. `bittorrent-tracker` parses and encodes; it keeps no swarms of its own, so none can be forgotten or pile up.
 */
import { isAddress, mayAnnounce, reachableHost } from '@shoal/core'
import type { TrackerTable } from '@shoal/engine'
import Server, { type AnnounceParams, type StandardSwarm } from 'bittorrent-tracker/server'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
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
  const server = new TableServer(parts, http.log)
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

  constructor(parts: StandardAnnouncesParts, log: FastifyBaseLogger) {
    super({
      interval: ANNOUNCE_INTERVAL_MS,
      http: false,
      udp: false,
      ws: false,
      stats: false,
      filter: (infoHash, params, callback) => {
        parts
          .isKnown(infoHash, params.httpReq.socket.remoteAddress ?? '')
          .then(
            (isKnown) => callback(isKnown ? undefined : new Error('no such torrent here')),
            () => callback(new Error('the tracker cannot look that torrent up now; try again')),
          )
          // The callback goes on to answer: what that throws ends this one connection.
          .catch((err: unknown) => {
            log.error({ event: 'request-failed', err }, 'an announce could not be answered')
            params.httpRes.destroy()
          })
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
      // Both are told to agents. (`ip=` is not read: a client is where it comes from.)
      if (!Number.isInteger(params.port)) return callback(new Error('invalid port'))
      if (!mayAnnounce(params.ip, params.ip))
        return callback(new Error('others cannot be led to your address'))
      const address = { peerId: params.peer_id, host: params.ip, port: params.port, role: 'agent' as const }
      drive(
        params.event === 'stopped'
          ? { kind: 'standard-stopped', infoHash, peerId: params.peer_id }
          : { kind: 'standard-announced', infoHash, address, isComplete: params.left === 0 },
      )
      const countMax = params.event === 'stopped' ? 0 : Math.max(0, Math.floor(params.numwant))
      const peers = table.sample(infoHash, params.peer_id, countMax).map(({ peerId, host, port }) => ({
        peerId,
        ip: reachableHost(host, params.httpReq.socket.localAddress),
        port,
      }))
      callback(null, { ...table.counts(infoHash), peers: peers.filter(isEncodable(params)) })
    },
    scrape(_params, callback) {
      callback(null, table.counts(infoHash))
    },
  }
}

/** Compact answers have room for addresses alone (BEP 23); who is known by a name is told to those who ask for the long form. */
function isEncodable({ compact }: AnnounceParams): (peer: { readonly ip: string }) => boolean {
  return compact === 0 ? () => true : ({ ip }) => isAddress(ip)
}
