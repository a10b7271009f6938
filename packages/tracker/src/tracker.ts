/**
 * The tracker: standard announces and the agents' announce streams over one table. Decides nothing itself.
 */

import { EventEmitter } from 'node:events'
import type { Digest, InfoHash, PeerAddress, PeerId, Prng } from '@shoal/core'
import type { ImportShare } from '@shoal/engine'
import { type LookupEvent, Lookups, type TrackerEffect, TrackerTable } from '@shoal/engine'
import { encodeTrackerMessage } from '@shoal/wire'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import {
  type AgentProof,
  type AnnouncedSwarms,
  AnnounceServer,
  type ConnectedAgent,
} from './announce-server.ts'
import type { TrackerDriver } from './driver.ts'
import { TooManyUnknownError } from './errors.ts'
import { Outbox } from './outbox.ts'
import { type DialPeer, PeerTries } from './peer-tries.ts'
import { serveStandardAnnounces } from './standard-announces.ts'

export interface TrackerEvents {
  'swarm-began': [infoHash: InfoHash]
  'swarm-ended': [infoHash: InfoHash]
}

export interface TrackerParts {
  readonly log: Logger
  readonly nowMs: () => number
  readonly prng: Prng
  /** The seeder's own peer address. */
  readonly seeder: PeerAddress
  /** Ed25519 public key (SPKI, DER) that agents are told. */
  readonly signingKey: Uint8Array
  /** Whether a swarm of this info hash may exist. */
  readonly isKnown: (infoHash: InfoHash) => Promise<boolean>
  /** An agent announces a swarm that is of no blob here. */
  readonly onUnknown?: (infoHash: InfoHash) => void
  /** Resolves when the seeder can serve peers of the swarm, which has a member. */
  readonly seed: (infoHash: InfoHash) => Promise<void>
  /** Finds out whether the seeder itself reaches a peer. */
  readonly dialPeer: DialPeer
}

const TICK_MS = 1_000
/** Look-ups for standard clients that are under way. */
const STANDARD_LOOKUPS_MAX = 16

/** What an agent is told of a swarm that it was taken into. */
export interface Admission {
  readonly peers: readonly PeerAddress[]
  readonly imports: ImportShare | undefined
}

export class Tracker extends EventEmitter<TrackerEvents> {
  readonly #parts: TrackerParts
  readonly #table: TrackerTable
  readonly #announces: AnnounceServer
  readonly #outbox: Outbox
  readonly #tries: PeerTries
  readonly #lookups = new Lookups()
  /** Those for standard clients, each once. */
  readonly #standardLookups = new Map<InfoHash, Promise<boolean>>()
  #isLookupFailureTold = false
  /** The agent whose peers go into an answer instead of its stream. */
  #answering: PeerId | undefined

  constructor(parts: TrackerParts) {
    super()
    this.#parts = parts
    this.#outbox = new Outbox({ send: (to, frame) => this.#announces.send(to, frame) })
    this.#table = new TrackerTable({ seeder: parts.seeder, prng: parts.prng })
    this.#tries = new PeerTries({
      table: this.#table,
      seeder: parts.seeder,
      nowMs: parts.nowMs,
      dialPeer: parts.dialPeer,
      nameOf: (peerId) => this.#announces.nameOf(peerId),
      asDialled: (to, peers) => this.#announces.asDialled(to, peers),
      send: (to, frame) => this.#announces.send(to, frame),
    })
    this.#announces = new AnnounceServer({
      table: this.#table,
      drive: this.#drive,
      onAnnounce: (peerId, ip, swarms) => this.#announced(peerId, ip, swarms),
      nowMs: parts.nowMs,
      signingKey: parts.signingKey,
      seeder: parts.seeder,
      outbox: this.#outbox,
      tries: this.#tries,
      log: parts.log,
    })
  }

  /** The agents that can be told something now. */
  get agents(): readonly ConnectedAgent[] {
    return this.#announces.agents
  }

  /** Asks agents to fetch images before anybody asks them for these. */
  warm(to: readonly PeerId[], images: readonly { repository: string; reference: string }[]): void {
    const frame = encodeTrackerMessage({ type: 'warm', images: [...images] })
    for (const peerId of to) this.#announces.send(peerId, frame)
  }

  /** Tells the agents of a swarm the hashes of pieces that the seeder has just received, from piece `index` on. */
  tellPieces(infoHash: InfoHash, index: number, sha256: Uint8Array): void {
    const frame = encodeTrackerMessage({ type: 'pieces', infoHash, index, sha256 })
    for (const peerId of this.#table.agentsIn(infoHash)) this.#announces.send(peerId, frame)
  }

  /** Tells the agents of an arriving blob's swarm that it has ended: they ask what became of the blob. */
  tellArrivalEnded(infoHash: InfoHash): void {
    const frame = encodeTrackerMessage({ type: 'arrival-ended', infoHash })
    for (const peerId of this.#table.agentsIn(infoHash)) this.#announces.sendArrivalEnded(peerId, frame)
  }

  /** Asks agents to fetch a blob while it is being pushed. */
  warmBlob(to: readonly PeerId[], repository: string, digest: Digest): void {
    const frame = encodeTrackerMessage({ type: 'warm-blob', repository, digest })
    for (const peerId of to) this.#announces.send(peerId, frame)
  }

  /** Whether the agent has said that it has all of the swarm's blob. */
  isSeeding(infoHash: InfoHash, peerId: PeerId): boolean {
    return this.#table.isSeeding(infoHash, peerId)
  }

  get agentCount(): number {
    return this.#table.agentCount
  }

  get swarmCount(): number {
    return this.#table.swarmCount
  }

  /** Puts the tracker's routes on a server; they end with it. */
  register(http: FastifyInstance): void {
    serveStandardAnnounces(http, {
      table: this.#table,
      drive: this.#drive,
      nowMs: this.#parts.nowMs,
      isKnown: (infoHash, ip) => this.#isKnown(infoHash, ip),
      seed: this.#parts.seed,
      seederId: this.#parts.seeder.peerId,
    })
    this.#announces.register(http)
    const ticker = setInterval(() => {
      this.#isLookupFailureTold = false
      this.#drive({ kind: 'tick' })
      this.#look({ kind: 'tick' })
    }, TICK_MS)
    http.addHook('onClose', () => {
      clearInterval(ticker)
      this.#tries.close()
      this.#outbox.close()
    })
  }

  /** Whether a request comes from the agent that it says it comes from: only that one may be taken into swarms by it. */
  isFrom(peerId: PeerId, proof: AgentProof): boolean {
    return this.#announces.isFrom(peerId, proof)
  }

  /**
   * Takes an agent that asks for a reference into the swarms of its blobs, as a leecher where it is not a member yet.
   * @returns its neighbours in each, and what it may import; none while its announce stream is not open
   */
  admit(peerId: PeerId, infoHashes: readonly InfoHash[]): Admission[] {
    const swarms = infoHashes
      .filter((infoHash) => !this.#table.isMember(infoHash, peerId))
      .map((infoHash) => ({ infoHash, state: 'leeching' as const }))
    this.#answering = peerId
    this.#drive({ kind: 'announced', peerId, swarms })
    this.#answering = undefined
    return infoHashes.map((infoHash) => ({
      peers: this.#announces.asDialled(peerId, this.#table.neighbours(infoHash, peerId)),
      imports: this.#table.imports(infoHash, peerId),
    }))
  }

  /** There is something of this info hash from now on: who has announced it before takes part. */
  appeared(infoHash: InfoHash): void {
    this.#look({ kind: 'appeared', infoHash })
  }

  /**
   * What the table knows is driven at once; what it does not may be of no swarm at all.
   * @returns how many of the swarms it does not know
   */
  #announced(peerId: PeerId, ip: string, swarms: AnnouncedSwarms): number {
    const isSwarm = ({ infoHash }: AnnouncedSwarms[number]) => this.#table.hasSwarm(infoHash)
    if (swarms.every(isSwarm)) {
      this.#drive({ kind: 'announced', peerId, swarms })
      return 0
    }
    if (this.#table.addressOf(peerId) === undefined) return 0
    const known = swarms.filter(isSwarm)
    const leechingAtATime = swarms.filter(({ state }) => state === 'leeching').length
    const unknown = swarms.filter((swarm) => !isSwarm(swarm))
    if (known.length > 0) this.#drive({ kind: 'announced', peerId, swarms: known, leechingAtATime })
    this.#look({ kind: 'announced', peerId, ip, swarms: unknown })
    return unknown.length
  }

  #look(event: LookupEvent): void {
    for (const effect of this.#lookups.step(this.#parts.nowMs(), event)) {
      if (effect.kind === 'look-up') void this.#lookUp(effect.infoHash)
      else {
        const { peerId, infoHash, state, leechingAtATime } = effect
        this.#drive({ kind: 'announced', peerId, swarms: [{ infoHash, state }], leechingAtATime })
      }
    }
  }

  async #lookUp(infoHash: InfoHash): Promise<void> {
    const { isKnown, onUnknown, log } = this.#parts
    let outcome: 'known' | 'unknown' | 'failed' = 'failed'
    try {
      outcome = (await isKnown(infoHash)) ? 'known' : 'unknown'
    } catch (error) {
      if (!this.#isLookupFailureTold)
        log.warn({ event: 'swarm-lookup-failed', infoHash, err: error }, 'a swarm could not be looked up')
      this.#isLookupFailureTold = true
    }
    if (outcome === 'unknown') onUnknown?.(infoHash)
    this.#look({ kind: 'looked-up', infoHash, outcome })
  }

  /** For a standard client, whose address has a budget for what is not there. */
  async #isKnown(infoHash: InfoHash, ip: string): Promise<boolean> {
    const nowMs = this.#parts.nowMs()
    if (this.#table.hasSwarm(infoHash)) return true
    if (this.#lookups.isUnknown(nowMs, infoHash)) return false
    let lookup = this.#standardLookups.get(infoHash)
    if (lookup === undefined) {
      if (!this.#lookups.mayAsk(nowMs, ip) || this.#standardLookups.size >= STANDARD_LOOKUPS_MAX)
        throw new TooManyUnknownError(ip)
      lookup = this.#parts.isKnown(infoHash).finally(() => this.#standardLookups.delete(infoHash))
      this.#standardLookups.set(infoHash, lookup)
    }
    const isKnown = await lookup
    if (!isKnown) this.#look({ kind: 'missed', ip, infoHash })
    return isKnown
  }

  readonly #drive: TrackerDriver = (event) => {
    if (event.kind === 'agent-left') this.#outbox.forget(event.peerId)
    if (event.kind === 'agent-joined') this.#outbox.forget(event.agent.address.peerId)
    if (event.kind === 'agent-left') this.#look({ kind: 'agent-left', peerId: event.peerId })
    if (event.kind === 'agent-joined') this.#look({ kind: 'agent-left', peerId: event.agent.address.peerId })
    if (event.kind === 'swarms-left') this.#look(event)
    for (const effect of this.#table.step(this.#parts.nowMs(), event)) this.#perform(effect)
  }

  #perform(effect: TrackerEffect): void {
    switch (effect.kind) {
      case 'swarm-began':
        this.emit(effect.kind, effect.infoHash)
        this.appeared(effect.infoHash)
        break
      case 'swarm-ended':
        this.emit(effect.kind, effect.infoHash)
        break
      case 'send-peers':
        if (effect.to === this.#answering) break
        this.#outbox.peers(effect.to, effect.infoHash, this.#announces.asDialled(effect.to, effect.peers))
        break
      case 'set-imports':
        if (effect.to !== this.#answering) this.#outbox.imports(effect.to, effect.infoHash, effect.imports)
        break
    }
  }
}
