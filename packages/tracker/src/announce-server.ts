/**
 * The tracker's end of the announce streams: one WebSocket an agent. Frames in become events for the table, the table's
 * effects become frames out. A stream that is silent, too slow or not understood is closed; the agent comes again.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { isWildcard, mayAnnounce, type PeerAddress, type PeerId, reachableHost } from '@shoal/core'
import type { TrackerTable } from '@shoal/engine'
import {
  AGENT_FRAME_BYTES_MAX,
  type AgentMessage,
  ANNOUNCE_STREAM_PATH,
  ANNOUNCE_STREAM_VERSION,
  ARRIVAL_ENDED_CAPABILITY,
  decodeAgentMessage,
  encodeTrackerMessage,
  FrameTooLargeError,
  HEARTBEAT_MS,
  HELLO_FRAME_BYTES_MAX,
  STREAM_SECRET_BYTES,
  STREAM_SECRET_CAPABILITY,
  STREAM_SECRET_HEADER,
  TRY_PEERS_CAPABILITY,
  WireError,
} from '@shoal/wire'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { type WebSocket, WebSocketServer } from 'ws'
import type { TrackerDriver } from './driver.ts'
import type { Outbox } from './outbox.ts'
import type { PeerTries } from './peer-tries.ts'
import { StreamBounds } from './stream-bounds.ts'
import { Turns } from './turns.ts'

/** An agent says who it is at once. */
const HELLO_TIMEOUT_MS = 10_000
/** Nobody who is meant sends a frame in parts. */
const FRAGMENTS_MAX = 16
/** Packets of a frame that are kept until it is whole, each with some hundred bytes of its own: the longest needs 250 small ones. */
const CHUNKS_MAX = 512
const CONTACTS_COUNT = 8
/** Of these, those that are told of the newcomer even if they know enough: what they know would only grow old. */
const CONTACTS_TOLD = 2
/** WebSocket close codes (RFC 6455, section 7.4). */
const CLOSE_GOING_AWAY = 1001
const CLOSE_UNDERSTOOD_NOT = 1007
const CLOSE_POLICY = 1008
const CLOSE_INTERNAL_ERROR = 1011
const CLOSE_TRY_LATER = 1013

export interface AnnounceServerParts {
  readonly table: TrackerTable
  readonly drive: TrackerDriver
  /** @returns how many of the swarms are not known */
  readonly onAnnounce: (peerId: PeerId, ip: string, swarms: AnnouncedSwarms) => number
  readonly nowMs: () => number
  readonly signingKey: Uint8Array
  /** Nobody else's to take, neither its id nor its address. */
  readonly seeder: PeerAddress
  readonly outbox: Outbox
  readonly tries: PeerTries
  readonly log: Logger
}

/** What a request says of who sends it. */
export interface AgentProof {
  /** Hexadecimal, as in the header; absent from an agent of an older version, and from whoever does not know it. */
  readonly streamSecret: string | undefined
  readonly remoteHost: string
}
export type AnnouncedSwarms = (AgentMessage & { readonly type: 'announce' })['swarms']

/** An agent as people know it. */
export interface ConnectedAgent {
  readonly peerId: PeerId
  readonly name: string
  readonly zone: string
}

export class AnnounceServer {
  readonly #parts: AnnounceServerParts
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: AGENT_FRAME_BYTES_MAX,
    maxFragments: FRAGMENTS_MAX,
    maxBufferedChunks: CHUNKS_MAX,
    perMessageDeflate: false,
  })
  readonly #bounds: StreamBounds
  readonly #turns: Turns<WebSocket>
  /** Streams whose last announce named swarms that the tracker does not know. */
  readonly #namesUnknown = new WeakSet<WebSocket>()
  readonly #streams = new Map<PeerId, WebSocket>()
  readonly #names = new Map<PeerId, { readonly name: string; readonly zone: string }>()
  /** The seeder's own address on each stream: the one that works for that agent. */
  readonly #dialledHosts = new WeakMap<WebSocket, string>()
  readonly #remoteHosts = new WeakMap<WebSocket, string>()
  /** What only the agent at the other end of a stream knows; absent where it is of a version that knows of no secret. */
  readonly #secrets = new WeakMap<WebSocket, Uint8Array>()
  /** What whoever opened a stream has shown of an earlier one, hexadecimal. */
  readonly #shown = new WeakMap<WebSocket, string>()
  /** Peers that listen everywhere, by the address at which they are told of: few, and told of again and again. */
  readonly #reached = new WeakMap<PeerAddress, Map<string, PeerAddress>>()
  /** Streams whose agents know the frame that tells of an arrival's end. */
  readonly #knowsArrivalEnded = new WeakSet<WebSocket>()
  /** Newcomers that each agent was told of since it came, as far as that matters. */
  readonly #introductions = new WeakMap<WebSocket, number>()

  constructor(parts: AnnounceServerParts) {
    this.#parts = parts
    this.#bounds = new StreamBounds({ nowMs: parts.nowMs })
    this.#turns = new Turns({
      onWaits: (stream, frames) => this.#bounds.waits(stream, frames),
      onGoesOn: (stream) => this.#bounds.goesOn(stream),
    })
  }

  /** The agents whose streams are open. */
  get agents(): readonly ConnectedAgent[] {
    return [...this.#streams.keys()].flatMap((peerId) => {
      const names = this.#names.get(peerId)
      return names === undefined ? [] : [{ peerId, ...names }]
    })
  }

  /** What the agent is called; empty where its stream is closed. */
  nameOf(peerId: PeerId): { readonly name: string; readonly zone: string } {
    return this.#names.get(peerId) ?? { name: '', zone: '' }
  }

  get streamCount(): number {
    return this.#streams.size
  }

  register(http: FastifyInstance): void {
    http.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      // Node takes its own listener off before it hands the socket out: a reset would end the process.
      socket.on('error', () => socket.destroy())
      const path = request.url?.split('?', 1)[0]
      if (path !== ANNOUNCE_STREAM_PATH) {
        // Destroyed as well: the other side may leave its half open.
        const refusal = 'HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'
        socket.end(refusal, () => socket.destroy())
        return
      }
      this.#sockets.handleUpgrade(request, socket, head, (stream) => {
        this.#dialledHosts.set(stream, request.socket.localAddress ?? '')
        const remoteHost = remoteHostOf(request)
        this.#shown.set(stream, request.headers[STREAM_SECRET_HEADER]?.toString() ?? '')
        this.#accept(stream, remoteHost)
        this.#bounds.opened(stream, socket as Socket, remoteHost, head.length)
      })
    })
    http.addHook('preClose', () => this.#close())
  }

  /**
   * Whether a request comes from the agent whose stream is open under that id. An agent of an older version, which has no
   * secret to show, is known by the address that its stream comes from.
   */
  isFrom(peerId: PeerId, { streamSecret, remoteHost }: AgentProof): boolean {
    const stream = this.#streams.get(peerId)
    return stream !== undefined && this.#isOwner(stream, { streamSecret, remoteHost })
  }

  #isOwner(stream: WebSocket, { streamSecret = '', remoteHost }: AgentProof): boolean {
    const secret = this.#secrets.get(stream)
    if (secret === undefined) return this.#remoteHosts.get(stream) === remoteHost
    const shown = Buffer.from(streamSecret, 'hex')
    return shown.length === secret.length && timingSafeEqual(shown, secret)
  }

  /** Peers as the agent can reach them: a seeder that listens everywhere is told by the address that the agent dialled. */
  asDialled(to: PeerId, peers: readonly PeerAddress[]): readonly PeerAddress[] {
    if (!peers.some(({ host }) => isWildcard(host))) return peers
    const stream = this.#streams.get(to)
    const dialledHost = stream && this.#dialledHosts.get(stream)
    return peers.map((peer) => (isWildcard(peer.host) ? this.#reachedAt(peer, dialledHost) : peer))
  }

  #reachedAt(peer: PeerAddress, dialledHost: string | undefined): PeerAddress {
    const host = reachableHost(peer.host, dialledHost)
    const known = this.#reached.get(peer) ?? new Map<string, PeerAddress>()
    const reached = known.get(host) ?? { ...peer, host }
    this.#reached.set(peer, known.set(host, reached))
    return reached
  }

  send(to: PeerId, frame: Uint8Array): void {
    const stream = this.#streams.get(to)
    if (stream !== undefined && this.#bounds.maySend(stream)) stream.send(frame)
  }

  /** The same for a frame that agents of earlier versions do not know, and would close their streams for. */
  sendArrivalEnded(to: PeerId, frame: Uint8Array): void {
    const stream = this.#streams.get(to)
    if (stream !== undefined && this.#knowsArrivalEnded.has(stream)) this.send(to, frame)
  }

  #accept(stream: WebSocket, remoteHost: string): void {
    const { drive, log } = this.#parts
    let peerId: PeerId | undefined
    let isAlive = true
    const heartbeat = setInterval(() => {
      const isRead = this.#bounds.look(stream)
      if (!isAlive && isRead) return stream.terminate()
      isAlive = false
      stream.ping()
    }, HEARTBEAT_MS)
    const hello = setTimeout(() => {
      if (peerId === undefined) stream.terminate()
    }, HELLO_TIMEOUT_MS)
    stream.on('pong', () => {
      isAlive = true
    })
    stream.on('error', (error) => {
      log.debug({ event: 'announce-stream-error', peerId, err: error })
      // What cannot be a frame is not read to its end.
      stream.terminate()
    })
    stream.on('close', () => {
      clearInterval(heartbeat)
      clearTimeout(hello)
      this.#turns.forget(stream)
      if (peerId === undefined || this.#streams.get(peerId) !== stream) return
      this.#streams.delete(peerId)
      this.#names.delete(peerId)
      this.#parts.tries.forget(peerId)
      drive({ kind: 'agent-left', peerId })
      log.debug({ event: 'agent-left', peerId }, 'agent left')
    })
    const hear = (frame: Buffer): number => {
      // The stream ended with a refused frame; what came behind it is not looked at.
      if (stream.readyState !== stream.OPEN) return 0
      try {
        if (peerId === undefined && frame.length > HELLO_FRAME_BYTES_MAX)
          throw new FrameTooLargeError(frame.length, HELLO_FRAME_BYTES_MAX)
        const message = decodeAgentMessage(frame)
        const cost = costOf(message)
        this.#bounds.heard(stream, cost)
        if (message.type === 'hello') peerId = this.#greet(stream, message, peerId, remoteHost)
        else if (peerId === undefined) stream.close(CLOSE_POLICY, 'say hello first')
        else this.#hear(stream, peerId, message, remoteHost)
        return cost
      } catch (error) {
        if (!(error instanceof WireError)) {
          // This is a bug. It concerns this stream at least, so this stream is closed; the agent opens it again.
          stream.close(CLOSE_INTERNAL_ERROR)
          throw error
        }
        log.warn({ event: 'announce-frame-refused', peerId, err: error }, 'frame refused')
        stream.close(CLOSE_UNDERSTOOD_NOT, error.code)
        return 0
      }
    }
    stream.on('message', (frame: Buffer) => {
      isAlive = true
      if (stream.readyState !== stream.OPEN) return
      this.#bounds.finished(stream)
      const byTurns = this.#namesUnknown.has(stream) || this.#turns.hasWaiting(stream)
      if (byTurns) this.#turns.take(stream, () => hear(frame))
      else hear(frame)
    })
  }

  #greet(
    stream: WebSocket,
    hello: AgentMessage & { type: 'hello' },
    known: PeerId | undefined,
    remoteHost: string,
  ): PeerId | undefined {
    const { table, drive, signingKey, seeder, log } = this.#parts
    const { peerId, name, zone, port, host = remoteHost, capabilities = [] } = hello
    if (known !== undefined && known !== peerId) {
      stream.close(CLOSE_POLICY, 'one agent a stream')
      return known
    }
    const earlier = this.#streams.get(peerId)
    // Every peer of a swarm knows the ids of the others. An agent that comes again shows the secret of its old stream, or waits
    // until that is found dead.
    const streamSecret = this.#shown.get(stream)
    const isTaken =
      earlier !== undefined && earlier !== stream && !this.#isOwner(earlier, { streamSecret, remoteHost })
    if (peerId === seeder.peerId || isTaken) {
      log.warn(
        { event: 'announce-frame-refused', peerId, name, remoteHost },
        'an id that is taken was claimed',
      )
      stream.close(CLOSE_POLICY, 'this id is taken')
      return undefined
    }
    const isSeeders = port === seeder.port && [seeder.host, this.#dialledHosts.get(stream)].includes(host)
    if (isSeeders || !mayAnnounce(host, remoteHost)) {
      log.warn(
        { event: 'announce-frame-refused', peerId, name, remoteHost, host, port },
        'an address was announced to which others must not be led',
      )
      stream.close(CLOSE_POLICY, 'others must not be led there')
      return known
    }
    if (!this.#bounds.named(stream)) {
      stream.close(CLOSE_TRY_LATER, 'there are too many agents')
      return undefined
    }
    this.#remoteHosts.set(stream, remoteHost)
    // An agent that comes again keeps its secret: the answer with a new one could be lost.
    if (capabilities.includes(STREAM_SECRET_CAPABILITY) && !this.#secrets.has(stream))
      this.#secrets.set(stream, (earlier && this.#secrets.get(earlier)) ?? randomBytes(STREAM_SECRET_BYTES))
    this.#streams.set(peerId, stream)
    this.#names.set(peerId, { name, zone })
    if (earlier !== stream) earlier?.terminate()
    if (capabilities.includes(ARRIVAL_ENDED_CAPABILITY)) this.#knowsArrivalEnded.add(stream)
    const canTryPeers = capabilities.includes(TRY_PEERS_CAPABILITY)
    const address = { peerId, host, port, role: 'agent' } as const
    drive({ kind: 'agent-joined', agent: { address, zone, canTryPeers } })
    log.debug({ event: 'agent-joined', peerId, name, zone, host, port }, 'agent joined')
    const welcome = { type: 'welcome', version: ANNOUNCE_STREAM_VERSION, signingKey } as const
    const given = this.#secrets.get(stream)
    this.send(
      peerId,
      encodeTrackerMessage({
        ...welcome,
        capabilities: [TRY_PEERS_CAPABILITY, ARRIVAL_ENDED_CAPABILITY],
        ...(given !== undefined && { streamSecret: given }),
      }),
    )
    this.#introduce(peerId, table)
    return peerId
  }

  /** The newcomer learns of some agents, and some of these of it: an early agent must not know nobody. */
  #introduce(peerId: PeerId, table: TrackerTable): void {
    const { outbox } = this.#parts
    const contacts = table.contacts(peerId, CONTACTS_COUNT)
    const newcomer = table.addressOf(peerId)
    if (newcomer === undefined || contacts.length === 0) return
    outbox.contacts(peerId, contacts)
    for (const [position, contact] of contacts.entries()) {
      const stream = this.#streams.get(contact.peerId)
      if (stream === undefined) continue
      const introductions = this.#introductions.get(stream) ?? 0
      if (introductions >= CONTACTS_COUNT && position >= CONTACTS_TOLD) continue
      this.#introductions.set(stream, introductions + 1)
      outbox.contacts(contact.peerId, [newcomer])
    }
  }

  #hear(
    stream: WebSocket,
    peerId: PeerId,
    message: Exclude<AgentMessage, { type: 'hello' }>,
    remoteHost: string,
  ): void {
    const { drive, onAnnounce, tries } = this.#parts
    if (message.type === 'announce') {
      if (message.swarms.length > 0) this.#bounds.takesPart(stream)
      if (onAnnounce(peerId, remoteHost, message.swarms) > 0) this.#namesUnknown.add(stream)
      else this.#namesUnknown.delete(stream)
    } else if (message.type === 'leave')
      drive({ kind: 'swarms-left', peerId, infoHashes: message.infoHashes })
    else if (message.type === 'try-peers') tries.asked(peerId, message.id, remoteHost)
    else tries.dialled(peerId, message)
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

/** As agents are told of each other: an IPv4 address as such. */
export function remoteHostOf({ socket }: IncomingMessage): string {
  return (socket.remoteAddress ?? '').replace(/^::ffff:/, '')
}

/** What a frame sets off, in swarms. */
function costOf(message: AgentMessage): number {
  switch (message.type) {
    case 'announce':
      return 1 + message.swarms.length
    case 'leave':
      return 1 + message.infoHashes.length
    // A hello comes once in a stream's life, and others are told of it.
    case 'hello':
      return 20
    // Somebody asks once in a while; each is answered, and others dial.
    case 'try-peers':
    case 'dialled':
      return 50
  }
}
