/**
 * The agent's end of the announce stream: says what this node has and wants, and hears of peers.
 * What is said when, `Announcements` of the engine decides.
 */

import { EventEmitter } from 'node:events'
import type { Digest, InfoHash, PeerAddress, PeerId } from '@shoal/core'
import { type AnnouncementEvent, Announcements, type ImportShare } from '@shoal/engine'
import { steadyMs } from '@shoal/service'
import {
  type AgentMessage,
  ANNOUNCE_STREAM_PATH,
  ANNOUNCE_STREAM_VERSION,
  ARRIVAL_ENDED_CAPABILITY,
  type DialOutcome,
  decodeTrackerMessage,
  encodeAgentMessage,
  HEARTBEAT_MS,
  STREAM_SECRET_CAPABILITY,
  STREAM_SECRET_HEADER,
  type SwarmState,
  TRACKER_FRAME_BYTES_MAX,
  TRY_PEERS_CAPABILITY,
  type TrackerMessage,
  WireError,
} from '@shoal/wire'
import type { Logger } from 'pino'
import { WebSocket } from 'ws'

export interface AnnouncerEvents {
  welcome: [signingKey: Uint8Array]
  peers: [infoHash: InfoHash, peers: readonly PeerAddress[]]
  imports: [infoHash: InfoHash, share: ImportShare]
  contacts: [agents: readonly PeerAddress[]]
  /** This node should have the image before anybody asks for it. */
  warm: [repository: string, reference: string]
  /** This node should have a blob that is being pushed. */
  warmBlob: [repository: string, digest: Digest]
  /** Hashes of pieces that the seeder has received, from piece `index` on. */
  pieces: [infoHash: InfoHash, index: number, sha256: Uint8Array]
  /** A blob has arrived at the seeder, or does not come. */
  arrivalEnded: [infoHash: InfoHash]
  /** Somebody wants to know whether this agent reaches it. */
  dial: [id: number, peer: PeerAddress]
  /** What becomes of the question `tryPeers`. */
  tries: [answer: TriesAnswer]
  /** The address at which the seeder was reached. */
  reached: [ip: string]
  /** The seeder said something, if only that it is there. */
  heard: []
  closed: []
}

export type TriesAnswer = TrackerMessage & { readonly type: 'peers-to-try' | 'tried' | 'try-refused' }

export interface AnnouncerInit {
  readonly seederUrl: string
  readonly peerId: PeerId
  readonly name: string
  readonly zone: string
  /** Absent: the tracker uses the address that the stream comes from. */
  readonly host?: string
}

const RECONNECT_MS = 200
const RECONNECT_MAX_MS = 3_000
const HANDSHAKE_TIMEOUT_MS = 5_000
/** Three missed pings are a dead stream. */
const SILENCE_MAX_MS = 3 * HEARTBEAT_MS

export class Announcer extends EventEmitter<AnnouncerEvents> {
  readonly #init: AnnouncerInit
  readonly #log: Logger
  readonly #announcements = new Announcements()
  #socket: WebSocket | undefined
  #isOpen = false
  /** When it was opened or closed the last time, on the clock that never jumps. */
  #changedAt = steadyMs()
  #canTryPeers = false
  #tellsArrivalsEnd = false
  #streamSecret: string | undefined
  /** Of the last stream, open or not: by it this agent takes its place again. */
  #lastSecret: string | undefined
  #isStopped = false
  /** Of this agent's peer port. */
  #port = 0
  #failures = 0
  #reconnectTimer: NodeJS.Timeout | undefined
  #gatherTimer: NodeJS.Timeout | undefined

  constructor(parts: { log: Logger }, init: AnnouncerInit) {
    super()
    this.#init = init
    this.#log = parts.log
  }

  get isConnected(): boolean {
    return this.#isOpen
  }

  /** For how long the stream has been open or closed. */
  get unchangedForMs(): number {
    return Math.round(steadyMs() - this.#changedAt)
  }

  /** Shows the seeder who asks it something, hexadecimal; undefined while the stream is not open, or where an older seeder gave none. */
  get streamSecret(): string | undefined {
    return this.#streamSecret
  }

  /** Whether the tracker knows the frames with which peers are tried. */
  get canTryPeers(): boolean {
    return this.#isOpen && this.#canTryPeers
  }

  /** Whether the seeder tells when an arrival ends. */
  get tellsArrivalsEnd(): boolean {
    return this.#isOpen && this.#tellsArrivalsEnd
  }

  /** @param init.port where peers reach this agent */
  start({ port }: { readonly port: number }): void {
    this.#port = port
    this.#connect()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#reconnectTimer)
    clearTimeout(this.#gatherTimer)
    const socket = this.#socket
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve())
      if (socket.readyState === WebSocket.OPEN) socket.close()
      else socket.terminate()
      setTimeout(() => socket.terminate(), 500).unref()
    })
  }

  announce(infoHash: InfoHash, state: SwarmState): void {
    this.#step({ kind: 'announce', infoHash, state })
  }

  leave(infoHash: InfoHash): void {
    this.#step({ kind: 'leave', infoHash })
  }

  /** Asks that some peers be tried; the answers come as `tries`. */
  tryPeers(id: number): void {
    if (this.canTryPeers) this.#send({ type: 'try-peers', id })
  }

  dialled(id: number, result: { readonly outcome: DialOutcome; readonly ms: number }): void {
    if (this.canTryPeers) this.#send({ type: 'dialled', id, ...result })
  }

  #step(event: AnnouncementEvent): void {
    const nowMs = steadyMs()
    for (const effect of this.#announcements.step(nowMs, event)) {
      if (effect.kind === 'set-timer')
        this.#gatherTimer = setTimeout(() => this.#step({ kind: 'timer' }), effect.atMs - nowMs)
      else if (effect.kind === 'send-announce') this.#send({ type: 'announce', swarms: [...effect.swarms] })
      else this.#send({ type: 'leave', infoHashes: [...effect.infoHashes] })
    }
  }

  #connect(): void {
    const { seederUrl, peerId, name, zone, host } = this.#init
    const port = this.#port
    const url = new URL(ANNOUNCE_STREAM_PATH, seederUrl)
    url.protocol = url.protocol.replace('http', 'ws')
    const socket = new WebSocket(url, {
      maxPayload: TRACKER_FRAME_BYTES_MAX,
      perMessageDeflate: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      ...(this.#lastSecret !== undefined && { headers: { [STREAM_SECRET_HEADER]: this.#lastSecret } }),
    })
    this.#socket = socket
    const silence = setTimeout(() => socket.terminate(), SILENCE_MAX_MS)
    socket.on('upgrade', ({ socket: { remoteAddress } }) => {
      if (remoteAddress !== undefined) this.emit('reached', remoteAddress)
    })
    socket.on('open', () => {
      this.#isOpen = true
      this.#changedAt = steadyMs()
      this.#log.info({ event: 'announce-stream-open', seeder: seederUrl }, 'announce stream open')
      const hello = { type: 'hello', version: ANNOUNCE_STREAM_VERSION, name, zone, peerId, port } as const
      const capabilities = [TRY_PEERS_CAPABILITY, STREAM_SECRET_CAPABILITY, ARRIVAL_ENDED_CAPABILITY]
      this.#send({ ...hello, ...(host !== undefined && { host }), capabilities })
      this.#step({ kind: 'stream-opened' })
    })
    socket.on('ping', () => {
      silence.refresh()
      this.emit('heard')
    })
    socket.on('message', (frame: Buffer) => {
      silence.refresh()
      this.emit('heard')
      this.#hear(frame)
    })
    socket.on('error', (error) => this.#log.debug({ event: 'announce-stream-error', err: error }))
    socket.on('close', (code, reason) => {
      clearTimeout(silence)
      this.#streamSecret = undefined
      if (this.#isOpen) {
        this.#log.warn(
          { event: 'announce-stream-closed', seeder: seederUrl, code, reason: reason.toString() },
          'announce stream closed',
        )
        this.#changedAt = steadyMs()
        this.#isOpen = false
        this.#step({ kind: 'stream-closed' })
        this.#canTryPeers = false
        this.#tellsArrivalsEnd = false
        this.emit('closed')
      }
      if (this.#isStopped) return
      // Spread over half the wait, so that a restarted seeder is not met by all agents in one instant.
      const waitMs = Math.min(RECONNECT_MS * 2 ** this.#failures++, RECONNECT_MAX_MS)
      this.#reconnectTimer = setTimeout(() => this.#connect(), waitMs * (0.5 + Math.random() / 2))
    })
  }

  #hear(frame: Buffer): void {
    try {
      const message = decodeTrackerMessage(frame)
      if (message.type === 'welcome') {
        this.#canTryPeers = message.capabilities?.includes(TRY_PEERS_CAPABILITY) ?? false
        this.#tellsArrivalsEnd = message.capabilities?.includes(ARRIVAL_ENDED_CAPABILITY) ?? false
        this.#streamSecret = message.streamSecret && Buffer.from(message.streamSecret).toString('hex')
        this.#lastSecret = this.#streamSecret
        // Who is refused after his hello has failed as well.
        this.#failures = 0
        this.emit('welcome', message.signingKey)
      } else if (message.type === 'contacts') this.emit('contacts', message.agents)
      else if (message.type === 'peers')
        for (const { infoHash, peers } of message.swarms) this.emit('peers', infoHash, peers)
      else if (message.type === 'pieces') this.emit('pieces', message.infoHash, message.index, message.sha256)
      else if (message.type === 'arrival-ended') this.emit('arrivalEnded', message.infoHash)
      else if (message.type === 'warm-blob') this.emit('warmBlob', message.repository, message.digest)
      else if (message.type === 'warm')
        for (const { repository, reference } of message.images) this.emit('warm', repository, reference)
      else if (message.type === 'dial') this.emit('dial', message.id, message.peer)
      else if (message.type === 'imports')
        for (const { infoHash, ...share } of message.swarms) this.emit('imports', infoHash, share)
      else this.emit('tries', message)
    } catch (error) {
      if (!(error instanceof WireError)) {
        // A bug, and this stream is the one that it is known to concern; it is opened again.
        this.#socket?.terminate()
        throw error
      }
      this.#log.warn({ event: 'announce-frame-refused', err: error }, 'frame refused')
      this.#socket?.close()
    }
  }

  #send(message: AgentMessage): void {
    this.#socket?.send(encodeAgentMessage(message))
  }
}
