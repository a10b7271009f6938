/**
 * The tracker's table: who is in which swarm, and who is told of whom. Pure: `step(nowMs, event) → effects`.
 *
 * Agents are members for as long as their announce stream is open; standard BitTorrent clients for as long as they
 * announce. The seeder is a member of every swarm and is given to few leechers at a time: each could draw a whole copy
 * from it. Whoever has too few neighbours is given more when somebody comes; a place at the seeder that falls free because
 * a leecher went goes to the one that has waited longest.
 */
import {
  assert,
  chooseNeighbours,
  HANDOUT_RULE,
  type HandoutRule,
  type InfoHash,
  type PeerAddress,
  type PeerId,
  type Prng,
} from '@shoal/core'
import type { SwarmState } from '@shoal/wire'

export interface AgentEntry {
  readonly address: PeerAddress
  readonly zone: string
}

export type TrackerEvent =
  | { readonly kind: 'agent-joined'; readonly agent: AgentEntry }
  | { readonly kind: 'agent-left'; readonly peerId: PeerId }
  | {
      readonly kind: 'announced'
      readonly peerId: PeerId
      readonly swarms: readonly { readonly infoHash: InfoHash; readonly state: SwarmState }[]
    }
  | { readonly kind: 'swarms-left'; readonly peerId: PeerId; readonly infoHashes: readonly InfoHash[] }
  /** A standard client, which is a member of the one swarm until it stops or is silent for `STANDARD_TTL_MS`. */
  | {
      readonly kind: 'standard-announced'
      readonly infoHash: InfoHash
      readonly address: PeerAddress
      readonly isComplete: boolean
    }
  | { readonly kind: 'standard-stopped'; readonly infoHash: InfoHash; readonly peerId: PeerId }
  /** At least every few seconds: expires standard clients. */
  | { readonly kind: 'tick' }

export type TrackerEffect =
  /** Tell agent `to` of peers that it may dial. */
  | {
      readonly kind: 'send-peers'
      readonly to: PeerId
      readonly infoHash: InfoHash
      readonly peers: readonly PeerAddress[]
    }
  /** The first member came: the seeder should be ready to serve it. */
  | { readonly kind: 'swarm-began'; readonly infoHash: InfoHash }
  /** The last member went. */
  | { readonly kind: 'swarm-ended'; readonly infoHash: InfoHash }

export interface TrackerLimits {
  readonly agentsMax: number
  readonly swarmsPerAgentMax: number
  readonly standardMembersPerSwarmMax: number
}

export const TRACKER_LIMITS: TrackerLimits = {
  agentsMax: 20_000,
  swarmsPerAgentMax: 20_000,
  standardMembersPerSwarmMax: 1_000,
}

/** Two of the intervals that standard clients are told, and some. */
export const STANDARD_TTL_MS = 5 * 60_000

/** A leecher with this many complete neighbours does without the seeder: one of them may fail. */
const SOURCES_ENOUGH = 2

interface Member {
  readonly address: PeerAddress
  readonly zone: string
  readonly isStandard: boolean
  state: SwarmState
  readonly neighbours: Set<PeerId>
  hasSeeder: boolean
  heardAtMs: number
}

/** Members in the order in which they came, which is the order in which they wait for the seeder. */
type SwarmMembers = Map<PeerId, Member>

interface Agent extends AgentEntry {
  readonly swarms: Set<InfoHash>
}

export class TrackerTable {
  readonly #seeder: PeerAddress | undefined
  readonly #prng: Prng
  readonly #rule: HandoutRule
  readonly #limits: TrackerLimits
  readonly #agents = new Map<PeerId, Agent>()
  readonly #swarms = new Map<InfoHash, SwarmMembers>()

  /** @param init.seeder the seeder's own peer address; absent when nobody seeds beside the agents */
  constructor(init: {
    seeder?: PeerAddress
    prng: Prng
    rule?: HandoutRule
    limits?: TrackerLimits
  }) {
    this.#seeder = init.seeder
    this.#prng = init.prng
    this.#rule = init.rule ?? HANDOUT_RULE
    this.#limits = init.limits ?? TRACKER_LIMITS
  }

  step(nowMs: number, event: TrackerEvent): TrackerEffect[] {
    const effects: TrackerEffect[] = []
    switch (event.kind) {
      case 'agent-joined':
        this.#agentJoined(event.agent, effects)
        break
      case 'agent-left':
        this.#agentLeft(event.peerId, effects)
        break
      case 'announced':
        for (const swarm of event.swarms) this.#announced(nowMs, event.peerId, swarm, effects)
        break
      case 'swarms-left':
        for (const infoHash of event.infoHashes) this.#swarmLeft(event.peerId, infoHash, effects)
        break
      case 'standard-announced':
        this.#standardAnnounced(nowMs, event, effects)
        break
      case 'standard-stopped':
        if (this.#swarms.get(event.infoHash)?.get(event.peerId)?.isStandard) {
          this.#removeMember(event.infoHash, event.peerId, effects)
        }
        break
      case 'tick':
        this.#expire(nowMs, effects)
        break
    }
    return effects
  }

  get agentCount(): number {
    return this.#agents.size
  }

  get swarmCount(): number {
    return this.#swarms.size
  }

  isMember(infoHash: InfoHash, peerId: PeerId): boolean {
    return this.#swarms.get(infoHash)?.has(peerId) ?? false
  }

  /** @returns undefined for an agent that has no announce stream open */
  addressOf(agent: PeerId): PeerAddress | undefined {
    return this.#agents.get(agent)?.address
  }

  /** Members with all pieces and members without, the seeder not counted. */
  counts(infoHash: InfoHash): { complete: number; incomplete: number } {
    const counts = { complete: 0, incomplete: 0 }
    for (const member of this.#swarms.get(infoHash)?.values() ?? []) {
      counts[member.state === 'seeding' ? 'complete' : 'incomplete']++
    }
    return counts
  }

  /** A random choice of members for a standard client, the seeder first, without the asker. */
  sample(infoHash: InfoHash, asker: PeerId, countMax: number): PeerAddress[] {
    const members = [...(this.#swarms.get(infoHash)?.values() ?? [])].map((member) => member.address)
    const others = this.#prng.shuffled(members.filter((address) => address.peerId !== asker))
    return [...(this.#seeder === undefined ? [] : [this.#seeder]), ...others].slice(0, countMax)
  }

  /** The neighbours that a member was given so far, as it would be told them. */
  neighbours(infoHash: InfoHash, peerId: PeerId): PeerAddress[] {
    const swarm = this.#swarms.get(infoHash)
    const member = swarm?.get(peerId)
    if (swarm === undefined || member === undefined) return []
    const agents = [...member.neighbours].flatMap((id) => swarm.get(id)?.address ?? [])
    return member.hasSeeder && this.#seeder !== undefined ? [this.#seeder, ...agents] : agents
  }

  /** Agents, chosen by chance, that can answer for the seeder while it is away. */
  contacts(asker: PeerId, countMax: number): PeerAddress[] {
    const others: PeerAddress[] = []
    for (const [peerId, agent] of this.#agents) if (peerId !== asker) others.push(agent.address)
    return this.#prng.shuffled(others).slice(0, countMax)
  }

  /** Broken bookkeeping is a bug: checked by tests after every step. */
  check(): void {
    for (const [infoHash, swarm] of this.#swarms) {
      assert(swarm.size > 0, `swarm ${infoHash} is not empty`)
      for (const [peerId, member] of swarm) {
        assert(member.address.peerId === peerId, 'a member is kept under its id')
        if (!member.isStandard)
          assert(this.#agents.get(peerId)?.swarms.has(infoHash), `agent ${peerId} knows of ${infoHash}`)
        for (const other of member.neighbours) {
          assert(
            swarm.get(other)?.neighbours.has(peerId),
            `${peerId} and ${other} are each other's neighbours`,
          )
        }
      }
      assert(
        this.#seederDegree(swarm) <= this.#rule.seederNeighboursMax,
        'the seeder is given to few at a time',
      )
    }
    for (const [peerId, agent] of this.#agents) {
      for (const infoHash of agent.swarms)
        assert(this.#swarms.get(infoHash)?.has(peerId), `${peerId} is in ${infoHash}`)
    }
  }

  #agentJoined(agent: AgentEntry, effects: TrackerEffect[]): void {
    // The same agent on a new stream, before the old one was found dead: it says everything again.
    this.#agentLeft(agent.address.peerId, effects)
    if (this.#agents.size >= this.#limits.agentsMax) return
    this.#agents.set(agent.address.peerId, { ...agent, swarms: new Set() })
  }

  #agentLeft(peerId: PeerId, effects: TrackerEffect[]): void {
    const agent = this.#agents.get(peerId)
    if (agent === undefined) return
    for (const infoHash of [...agent.swarms]) this.#removeMember(infoHash, peerId, effects)
    this.#agents.delete(peerId)
  }

  #announced(
    nowMs: number,
    peerId: PeerId,
    { infoHash, state }: { infoHash: InfoHash; state: SwarmState },
    effects: TrackerEffect[],
  ): void {
    const agent = this.#agents.get(peerId)
    if (agent === undefined) return
    if (!agent.swarms.has(infoHash) && agent.swarms.size >= this.#limits.swarmsPerAgentMax) return
    const swarm = this.#swarmFor(infoHash, effects)
    const known = swarm.get(peerId)
    const member: Member = known ?? {
      address: agent.address,
      zone: agent.zone,
      isStandard: false,
      state,
      neighbours: new Set(),
      hasSeeder: false,
      heardAtMs: nowMs,
    }
    member.state = state
    member.heardAtMs = nowMs
    swarm.set(peerId, member)
    agent.swarms.add(infoHash)

    const told = this.#join(swarm, member)
    if (told.length > 0) effects.push({ kind: 'send-peers', to: peerId, infoHash, peers: told })
    if (state === 'holding') this.#giveSeederOn(infoHash, swarm, member, effects)
    // Who has all is a source itself: giving its place on would have the seeder send more than the swarm needs.
    if (state === 'seeding') member.hasSeeder = false
    if (known === undefined) this.#tellTheLonely(infoHash, swarm, member, effects)
  }

  /** Gives a leecher the neighbours that it lacks; who wants nothing waits to be dialled. */
  #join(swarm: SwarmMembers, member: Member): PeerAddress[] {
    if (member.state !== 'leeching') return []
    const told: PeerAddress[] = []
    const lacking = this.#rule.neighboursAim - member.neighbours.size
    if (lacking > 0) {
      const candidates = []
      for (const [id, other] of swarm) {
        if (other === member || member.neighbours.has(id)) continue
        candidates.push({ id, zone: other.zone, degree: other.neighbours.size })
      }
      for (const id of chooseNeighbours(member, candidates, lacking, this.#rule, this.#prng)) {
        const other = swarm.get(id)!
        member.neighbours.add(id)
        other.neighbours.add(member.address.peerId)
        told.push(other.address)
      }
    }
    if (this.#mayHaveSeeder(swarm, member)) {
      member.hasSeeder = true
      told.push(this.#seeder!)
    }
    return told
  }

  #mayHaveSeeder(swarm: SwarmMembers, member: Member): boolean {
    return (
      this.#seeder !== undefined &&
      !member.hasSeeder &&
      member.state === 'leeching' &&
      this.#sourcesOf(swarm, member) < SOURCES_ENOUGH &&
      this.#seederDegree(swarm) < this.#rule.seederNeighboursMax
    )
  }

  /** Neighbours that have everything. */
  #sourcesOf(swarm: SwarmMembers, member: Member): number {
    let sources = 0
    for (const id of member.neighbours) if (swarm.get(id)?.state === 'seeding') sources++
    return sources
  }

  #seederDegree(swarm: SwarmMembers): number {
    let degree = 0
    for (const member of swarm.values()) if (member.hasSeeder) degree++
    return degree
  }

  /** `from` needs the seeder no longer: the leecher that has waited longest gets its place. */
  #giveSeederOn(infoHash: InfoHash, swarm: SwarmMembers, from: Member, effects: TrackerEffect[]): void {
    if (!from.hasSeeder) return
    from.hasSeeder = false
    for (const member of swarm.values()) {
      if (member === from || member.isStandard || !this.#mayHaveSeeder(swarm, member)) continue
      member.hasSeeder = true
      effects.push({ kind: 'send-peers', to: member.address.peerId, infoHash, peers: [this.#seeder!] })
      return
    }
  }

  /** Leechers that came when nobody was there are told of the newcomer, unless it dials them itself. */
  #tellTheLonely(infoHash: InfoHash, swarm: SwarmMembers, newcomer: Member, effects: TrackerEffect[]): void {
    for (const member of swarm.values()) {
      if (newcomer.neighbours.size >= this.#rule.degreeMax) return
      if (member === newcomer || member.isStandard || member.state !== 'leeching') continue
      if (
        member.neighbours.size >= this.#rule.neighboursAim ||
        member.neighbours.has(newcomer.address.peerId)
      )
        continue
      member.neighbours.add(newcomer.address.peerId)
      newcomer.neighbours.add(member.address.peerId)
      effects.push({ kind: 'send-peers', to: member.address.peerId, infoHash, peers: [newcomer.address] })
    }
  }

  #swarmLeft(peerId: PeerId, infoHash: InfoHash, effects: TrackerEffect[]): void {
    if (!this.#agents.get(peerId)?.swarms.has(infoHash)) return
    this.#removeMember(infoHash, peerId, effects)
  }

  #standardAnnounced(
    nowMs: number,
    event: { infoHash: InfoHash; address: PeerAddress; isComplete: boolean },
    effects: TrackerEffect[],
  ): void {
    const { infoHash, address, isComplete } = event
    // An agent's place cannot be taken by whoever announces its id over plain HTTP.
    if (this.#agents.has(address.peerId)) return
    const swarm = this.#swarmFor(infoHash, effects)
    const known = swarm.get(address.peerId)
    if (known === undefined) {
      let standardCount = 0
      for (const member of swarm.values()) if (member.isStandard) standardCount++
      if (standardCount >= this.#limits.standardMembersPerSwarmMax) return
    }
    swarm.set(address.peerId, {
      address,
      zone: known?.zone ?? '',
      isStandard: true,
      state: isComplete ? 'seeding' : 'leeching',
      neighbours: known?.neighbours ?? new Set(),
      hasSeeder: false,
      heardAtMs: nowMs,
    })
  }

  #expire(nowMs: number, effects: TrackerEffect[]): void {
    for (const [infoHash, swarm] of [...this.#swarms]) {
      for (const [peerId, member] of [...swarm]) {
        if (member.isStandard && nowMs - member.heardAtMs > STANDARD_TTL_MS)
          this.#removeMember(infoHash, peerId, effects)
      }
    }
  }

  #swarmFor(infoHash: InfoHash, effects: TrackerEffect[]): SwarmMembers {
    let swarm = this.#swarms.get(infoHash)
    if (swarm === undefined) {
      swarm = new Map()
      this.#swarms.set(infoHash, swarm)
      effects.push({ kind: 'swarm-began', infoHash })
    }
    return swarm
  }

  #removeMember(infoHash: InfoHash, peerId: PeerId, effects: TrackerEffect[]): void {
    const swarm = this.#swarms.get(infoHash)
    const member = swarm?.get(peerId)
    if (swarm === undefined || member === undefined) return
    swarm.delete(peerId)
    this.#agents.get(peerId)?.swarms.delete(infoHash)
    for (const id of member.neighbours) swarm.get(id)?.neighbours.delete(peerId)
    this.#giveSeederOn(infoHash, swarm, member, effects)
    for (const id of member.neighbours) {
      const bereaved = swarm.get(id)
      if (bereaved === undefined || bereaved.isStandard || bereaved.state !== 'leeching') continue
      // Half the aim is still plenty; below it a second loss would be felt.
      if (bereaved.neighbours.size * 2 > this.#rule.neighboursAim) continue
      const told = this.#join(swarm, bereaved)
      if (told.length > 0) effects.push({ kind: 'send-peers', to: id, infoHash, peers: told })
    }
    if (swarm.size === 0) {
      this.#swarms.delete(infoHash)
      effects.push({ kind: 'swarm-ended', infoHash })
    }
  }
}
