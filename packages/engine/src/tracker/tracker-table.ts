/**
 * The tracker's table: who is in which swarm, and who is told of whom. Pure: `step(nowMs, event) → effects`.
 *
 * Agents are members for as long as their announce stream is open; standard BitTorrent clients for as long as they
 * announce. No event walks a swarm: what it costs depends on neighbours, not on members. The rules are in `handout.ts`.
 */
import { assert, type InfoHash, type PeerAddress, type PeerId, type Prng } from '@shoal/core'
import type { SwarmState } from '@shoal/wire'
import { FairPlaces } from '../policy/fair-places.ts'
import { drawDistinct, HANDOUT_RULE, type HandoutRule, type ImportShare } from '../policy/handout.ts'
import { Bag } from './bag.ts'
import { checkSwarm } from './check-table.ts'
import { Handout } from './handout.ts'
import {
  type AgentEntry,
  STANDARD_TTL_MS,
  TRACKER_LIMITS,
  type TrackerEffect,
  type TrackerEvent,
  type TrackerLimits,
} from './protocol.ts'
import { Agent, type Member, TrackerSwarm } from './swarm.ts'
import { chooseTryPartners } from './tries.ts'

/** Enough for some on other hosts, in the zone and outside; the whole table of a large cluster is not walked. */
const TRY_CANDIDATES = 32

export class TrackerTable {
  readonly #seeder: PeerAddress | undefined
  readonly #prng: Prng
  readonly #rule: HandoutRule
  readonly #limits: TrackerLimits
  readonly #handout: Handout
  readonly #agents = new Bag<'inTable', Agent>('inTable')
  readonly #agentById = new Map<PeerId, Agent>()
  readonly #swarms = new Map<InfoHash, TrackerSwarm>()
  /** Standard clients of all swarms, those that were heard longest ago first. */
  readonly #standards = new Set<Member>()
  readonly #standardPlaces: FairPlaces<Member>

  /** @param init.seeder the seeder's own peer address; absent when nobody seeds beside the agents */
  constructor(init: {
    seeder?: PeerAddress
    prng: Prng
    rule?: Partial<HandoutRule>
    limits?: TrackerLimits
  }) {
    this.#seeder = init.seeder
    this.#prng = init.prng
    this.#rule = { ...HANDOUT_RULE, ...init.rule }
    this.#limits = init.limits ?? TRACKER_LIMITS
    this.#standardPlaces = new FairPlaces({
      placesMax: this.#limits.standardMembersMax,
      placesPerAddressMax: this.#limits.standardMembersPerAddressMax,
    })
    this.#handout = new Handout({ rule: this.#rule, prng: init.prng, seeder: init.seeder })
  }

  step(nowMs: number, event: TrackerEvent): TrackerEffect[] {
    switch (event.kind) {
      case 'agent-joined':
        this.#agentJoined(event.agent)
        break
      case 'agent-left':
        this.#agentLeft(event.peerId)
        break
      case 'announced':
        this.#countSwarms(event)
        for (const { infoHash, state } of event.swarms) this.#announced(event.peerId, infoHash, state)
        break
      case 'swarms-left':
        for (const infoHash of event.infoHashes) this.#remove(this.#agentMember(infoHash, event.peerId))
        break
      case 'standard-announced':
        this.#standardAnnounced(nowMs, event)
        break
      case 'standard-stopped':
        this.#remove(this.#swarms.get(event.infoHash)?.standardsById.get(event.peerId))
        break
      case 'tick':
        this.#expire(nowMs)
        break
    }
    return this.#handout.news.take()
  }

  get agentCount(): number {
    return this.#agents.size
  }

  get swarmCount(): number {
    return this.#swarms.size
  }

  hasSwarm(infoHash: InfoHash): boolean {
    return this.#swarms.has(infoHash)
  }

  isMember(infoHash: InfoHash, peerId: PeerId): boolean {
    return this.#member(infoHash, peerId) !== undefined
  }

  /** The agents in the swarm. */
  agentsIn(infoHash: InfoHash): readonly PeerId[] {
    const members = this.#swarms.get(infoHash)?.members.items ?? []
    return members.flatMap(({ agent, address }) => (agent === undefined ? [] : [address.peerId]))
  }

  /** Whether the peer has all of the swarm's blob. */
  isSeeding(infoHash: InfoHash, peerId: PeerId): boolean {
    return this.#member(infoHash, peerId)?.state === 'seeding'
  }

  /** @returns undefined for an agent that has no announce stream open */
  addressOf(agent: PeerId): PeerAddress | undefined {
    return this.#agentById.get(agent)?.address
  }

  /** Members with all pieces and members without, the seeder not counted. */
  counts(infoHash: InfoHash): { complete: number; incomplete: number } {
    const swarm = this.#swarms.get(infoHash)
    if (swarm === undefined) return { complete: 0, incomplete: 0 }
    const { completeCount, members } = swarm
    return { complete: completeCount, incomplete: members.size - completeCount }
  }

  /** A random choice of members for a standard client, the seeder first, without the asker. */
  sample(infoHash: InfoHash, asker: PeerId, countMax: number): PeerAddress[] {
    const members = this.#swarms.get(infoHash)?.members.items ?? []
    // One more than asked for: one of them may be the asker.
    const others = drawDistinct(members, countMax + 1, this.#prng)
      .map(({ address }) => address)
      .filter(({ peerId }) => peerId !== asker)
    return [...(this.#seeder === undefined ? [] : [this.#seeder]), ...others].slice(0, countMax)
  }

  /** The neighbours that a member was given so far, as it would be told them. */
  neighbours(infoHash: InfoHash, peerId: PeerId): PeerAddress[] {
    const member = this.#member(infoHash, peerId)
    if (member === undefined) return []
    const agents = member.links.map(({ address }) => address)
    return member.hasSeeder && this.#seeder !== undefined ? [this.#seeder, ...agents] : agents
  }

  /** What a member was last told that it may ask of other zones; undefined where it was told nothing. */
  imports(infoHash: InfoHash, peerId: PeerId): ImportShare | undefined {
    return this.#member(infoHash, peerId)?.importsTold
  }

  /** Agents, chosen by chance, that can answer for the seeder while it is away. */
  contacts(asker: PeerId, countMax: number): PeerAddress[] {
    return drawDistinct(this.#agents.items, countMax + 1, this.#prng)
      .map(({ address }) => address)
      .filter(({ peerId }) => peerId !== asker)
      .slice(0, countMax)
  }

  /** Other agents that can try whether they reach the asker; none while its announce stream is not open. */
  tryPartners(asker: PeerId, countMax: number): PeerAddress[] {
    const agent = this.#agentById.get(asker)
    if (agent === undefined) return []
    const drawn = drawDistinct(this.#agents.items, TRY_CANDIDATES, this.#prng)
    return chooseTryPartners(agent, drawn, countMax)
  }

  /** Broken bookkeeping is a bug: checked by tests after every step. */
  check(): void {
    for (const swarm of this.#swarms.values()) checkSwarm(swarm, this.#rule)
    assert(this.#agents.size === this.#agentById.size, 'agents are known by their ids')
    for (const agent of this.#agents.items) {
      let links = 0
      for (const [swarm, member] of agent.memberships) {
        assert(this.#swarms.get(swarm.infoHash) === swarm, 'a swarm with members is known')
        assert(swarm.members.has(member), 'a membership is in its swarm')
        links += member.degree
      }
      assert(agent.totalDegree === links, 'the neighbours of all swarms are counted')
    }
  }

  #agentJoined(entry: AgentEntry): void {
    const { peerId } = entry.address
    // The same agent on a new stream, before the old one was found dead: it says everything again.
    this.#agentLeft(peerId)
    if (this.#agents.size >= this.#limits.agentsMax) return
    const agent = new Agent(entry)
    this.#agents.add(agent)
    this.#agentById.set(peerId, agent)
  }

  #agentLeft(peerId: PeerId): void {
    const agent = this.#agentById.get(peerId)
    if (agent === undefined) return
    for (const member of [...agent.memberships.values()]) this.#remove(member)
    this.#agents.remove(agent)
    this.#agentById.delete(peerId)
  }

  #countSwarms({ peerId, swarms, leechingAtATime }: Extract<TrackerEvent, { kind: 'announced' }>): void {
    const agent = this.#agentById.get(peerId)
    let leeching = leechingAtATime ?? 0
    if (leechingAtATime === undefined) for (const { state } of swarms) if (state === 'leeching') leeching++
    if (agent !== undefined && leeching > 0) agent.swarmsAtATime = leeching
  }

  #announced(peerId: PeerId, infoHash: InfoHash, state: SwarmState): void {
    const agent = this.#agentById.get(peerId)
    if (agent === undefined) return
    const known = this.#agentMember(infoHash, peerId)
    if (known !== undefined) {
      this.#handout.stateChanged(known, state)
      return
    }
    if (agent.memberships.size >= this.#limits.swarmsPerAgentMax) return
    const swarm = this.#swarmFor(infoHash)
    this.#handout.joined(swarm, agent, state)
    // A standard client that has become an agent; after the agent came, so that the swarm is not empty in between.
    this.#remove(swarm.standardsById.get(peerId))
  }

  #standardAnnounced(
    nowMs: number,
    event: { infoHash: InfoHash; address: PeerAddress; isComplete: boolean },
  ): void {
    const { infoHash, address, isComplete } = event
    // An agent's place cannot be taken by whoever announces its id over plain HTTP.
    if (this.#agentById.has(address.peerId)) return
    let member = this.#swarms.get(infoHash)?.standardsById.get(address.peerId)
    if (member !== undefined && !isSameHost(member.address, address)) {
      this.#remove(member)
      member = undefined
    }
    if (member === undefined) {
      const count = this.#swarms.get(infoHash)?.standards.size ?? 0
      if (count >= this.#limits.standardMembersPerSwarmMax) return
      member = this.#swarmFor(infoHash).addStandard(address)
      // Who was heard longest ago, at the address that has most, makes room.
      const place = this.#standardPlaces.take(address.host, member)
      if (place.kind === 'taken') this.#remove(place.displaced)
    }
    member.swarm.setState(member, isComplete ? 'seeding' : 'leeching')
    member.heardAtMs = nowMs
    this.#standards.delete(member)
    this.#standards.add(member)
    this.#standardPlaces.rest(member)
  }

  #expire(nowMs: number): void {
    for (const member of this.#standards) {
      if (nowMs - member.heardAtMs <= STANDARD_TTL_MS) return
      this.#remove(member)
    }
  }

  #member(infoHash: InfoHash, peerId: PeerId): Member | undefined {
    return this.#agentMember(infoHash, peerId) ?? this.#swarms.get(infoHash)?.standardsById.get(peerId)
  }

  #agentMember(infoHash: InfoHash, peerId: PeerId): Member | undefined {
    const swarm = this.#swarms.get(infoHash)
    return swarm && this.#agentById.get(peerId)?.memberships.get(swarm)
  }

  #swarmFor(infoHash: InfoHash): TrackerSwarm {
    let swarm = this.#swarms.get(infoHash)
    if (swarm === undefined) {
      swarm = new TrackerSwarm(infoHash, this.#rule)
      this.#swarms.set(infoHash, swarm)
      this.#handout.news.swarm('swarm-began', infoHash)
    }
    return swarm
  }

  #remove(member: Member | undefined): void {
    if (member === undefined) return
    const { swarm } = member
    this.#standards.delete(member)
    this.#standardPlaces.free(member)
    this.#handout.left(member)
    if (swarm.members.size > 0) return
    this.#swarms.delete(swarm.infoHash)
    this.#handout.news.swarm('swarm-ended', swarm.infoHash)
  }
}

function isSameHost(a: PeerAddress, b: PeerAddress): boolean {
  return a.host === b.host && a.port === b.port
}
