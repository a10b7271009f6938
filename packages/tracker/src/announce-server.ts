/**
 * The tracker's end of the announce streams: one WebSocket an agent. Frames in become events for the table, the table's
 * effects become frames out. A stream that is silent, too slow or not understood is closed; the agent comes again.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { isWildcard, type PeerAddress, type PeerId, reachableHost } from '@shoal/core'
import type { TrackerTable } from '@shoal/engine'
import {
  type AgentMessage,
  ANNOUNCE_FRAME_BYTES_MAX,
  ANNOUNCE_STREAM_PATH,
  ANNOUNCE_STREAM_VERSION,
  decodeAgentMessage,
  encodeTrackerMessage,
  type TrackerMessage,
  WireError,
} from '@shoal/wire'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { type WebSocket, WebSocketServer } from 'ws'
import type { TrackerDriver } from './driver.ts'

const HEARTBEAT_MS = 10_000
/** What a slow agent may leave unread before its stream is closed. */
const UNREAD_BYTES_MAX = 8 * 1024 * 1024
const CONTACTS_COUNT = 8
/** WebSocket close codes (RFC 6455, section 7.4). */
const CLOSE_GOING_AWAY = 1001
const CLOSE_UNDERSTOOD_NOT = 1007
const CLOSE_POLICY = 1008

export interface AnnounceServerParts {
  readonly table: TrackerTable
  readonly drive: TrackerDriver
  readonly signingKey: Uint8Array
  readonly log: Logger
}

export class AnnounceServer {
  readonly #parts: AnnounceServerParts
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: ANNOUNCE_FRAME_BYTES_MAX,
    perMessageDeflate: false,
  })
  readonly #streams = new Map<PeerId, WebSocket>()
  /** The seeder's own address on each stream: the one that works for that agent. */
  readonly #dialledHosts = new WeakMap<WebSocket, string>()

  constructor(parts: AnnounceServerParts) {
    this.#parts = parts
  }

  get streamCount(): number {
    return this.#streams.size
  }

  register(http: FastifyInstance): void {
    http.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const path = request.url?.split('?', 1)[0]
      if (path !== ANNOUNCE_STREAM_PATH) {
        socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
        return
      }
      this.#sockets.handleUpgrade(request, socket, head, (stream) => {
        this.#dialledHosts.set(stream, request.socket.localAddress ?? '')
        this.#accept(stream, (request.socket.remoteAddress ?? '').replace(/^::ffff:/, ''))
      })
    })
    http.addHook('preClose', () => this.#close())
  }

  /** Peers as the agent can reach them: a seeder that listens everywhere is told by the address that the agent dialled. */
  asDialled(to: PeerId, peers: readonly PeerAddress[]): PeerAddress[] {
    const stream = this.#streams.get(to)
    const dialledHost = stream && this.#dialledHosts.get(stream)
    return peers.map((peer) =>
      isWildcard(peer.host) ? { ...peer, host: reachableHost(peer.host, dialledHost) } : peer,
    )
  }

  send(to: PeerId, message: TrackerMessage): void {
    const stream = this.#streams.get(to)
    if (stream === undefined) return
    if (stream.bufferedAmount > UNREAD_BYTES_MAX) {
      stream.terminate()
      return
    }
    stream.send(encodeTrackerMessage(message))
  }

  #accept(stream: WebSocket, remoteHost: string): void {
    const { drive, log } = this.#parts
    let peerId: PeerId | undefined
    let isAlive = true
    const heartbeat = setInterval(() => {
      if (!isAlive) return stream.terminate()
      isAlive = false
      stream.ping()
    }, HEARTBEAT_MS)
    stream.on('pong', () => {
      isAlive = true
    })
    stream.on('error', (error) => log.debug({ event: 'announce-stream-error', peerId, err: error }))
    stream.on('close', () => {
      clearInterval(heartbeat)
      if (peerId === undefined || this.#streams.get(peerId) !== stream) return
      this.#streams.delete(peerId)
      drive({ kind: 'agent-left', peerId })
      log.info({ event: 'agent-left', peerId }, 'agent left')
    })
    stream.on('message', (frame: Buffer) => {
      isAlive = true
      try {
        const message = decodeAgentMessage(frame)
        if (message.type === 'hello') peerId = this.#greet(stream, message, peerId, remoteHost)
        else if (peerId === undefined) stream.close(CLOSE_POLICY, 'say hello first')
        else this.#hear(peerId, message)
      } catch (error) {
        if (!(error instanceof WireError)) throw error
        log.warn({ event: 'announce-frame-refused', peerId, err: error }, 'frame refused')
        stream.close(CLOSE_UNDERSTOOD_NOT, error.code)
      }
    })
  }

  #greet(
    stream: WebSocket,
    hello: AgentMessage & { type: 'hello' },
    known: PeerId | undefined,
    remoteHost: string,
  ): PeerId {
    const { table, drive, signingKey, log } = this.#parts
    const { peerId, name, zone, port, host = remoteHost } = hello
    if (known !== undefined && known !== peerId) {
      stream.close(CLOSE_POLICY, 'one agent a stream')
      return known
    }
    const earlier = this.#streams.get(peerId)
    this.#streams.set(peerId, stream)
    if (earlier !== stream) earlier?.terminate()
    drive({ kind: 'agent-joined', agent: { address: { peerId, host, port, role: 'agent' }, zone } })
    log.info({ event: 'agent-joined', peerId, name, zone, host, port }, 'agent joined')
    this.send(peerId, { type: 'welcome', version: ANNOUNCE_STREAM_VERSION, signingKey })
    this.#introduce(peerId, table)
    return peerId
  }

  /** The newcomer learns of some agents, and these learn of it: an early agent must not know nobody. */
  #introduce(peerId: PeerId, table: TrackerTable): void {
    const contacts = table.contacts(peerId, CONTACTS_COUNT)
    this.send(peerId, { type: 'contacts', agents: contacts })
    const newcomer = table.addressOf(peerId)
    if (newcomer === undefined) return
    for (const contact of contacts) this.send(contact.peerId, { type: 'contacts', agents: [newcomer] })
  }

  #hear(peerId: PeerId, message: Exclude<AgentMessage, { type: 'hello' }>): void {
    if (message.type === 'announce') this.#parts.drive({ kind: 'announced', peerId, swarms: message.swarms })
    else this.#parts.drive({ kind: 'swarms-left', peerId, infoHashes: message.infoHashes })
  }

  #close(): void {
    for (const stream of this.#sockets.clients) {
      stream.close(CLOSE_GOING_AWAY, 'the seeder stops')
      // An agent that does not answer the closing handshake must not hold the shut-down up.
      setTimeout(() => stream.terminate(), 1_000).unref()
    }
    this.#sockets.close()
  }
}
