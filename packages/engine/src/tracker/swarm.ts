/**
 * One swarm in the tracker's table: its members by zone, their links, and the lists of who lacks what, kept up with every
 * change so that no event walks all members. Decides nothing. Below it who takes part: an agent, a zone of the swarm, a
 * member. Each knows the others, so they stand in one file.
 */
import { assert, type InfoHash, type PeerAddress, type PeerId } from '@shoal/core'
import type { SwarmState } from '@shoal/wire'
import { type HandoutRule, type ImportShare, neighboursAimOf } from '../policy/handout.ts'
import { Bag } from './bag.ts'
import type { AgentEntry } from './protocol.ts'

export class TrackerSwarm {
  readonly members = new Bag<'inMembers', Member>('inMembers')
  readonly zones = new Bag<'inSwarm', Zone>('inSwarm')
  readonly standards = new Bag<'inStandards', Member>('inStandards')
  readonly standardsById = new Map<PeerId, Member>()
  /** Importers that have fewer neighbours in other zones than they should. */
  readonly lackOutside = new Set<Member>()
  completeCount = 0
  leecherCount = 0
  /** Leechers that have the seeder, and zones with at least one. */
  seederCount = 0
  zonesWithSeeder = 0
  readonly #zoneByName = new Map<string, Zone>()
  readonly #rule: HandoutRule
  #waits = 0

  readonly infoHash: InfoHash

  constructor(infoHash: InfoHash, rule: HandoutRule) {
    this.infoHash = infoHash
    this.#rule = rule
  }

  addAgent(agent: Agent, state: SwarmState): Member {
    const zone = this.#zoneFor(agent.zone)
    const member = new Member(this, agent.address, agent, zone)
    member.neighboursAim = neighboursAimOf(this.#rule, agent.swarmsAtATime)
    this.members.add(member)
    zone.members.add(member)
    agent.memberships.set(this, member)
    this.setState(member, state)
    return member
  }

  addStandard(address: Member['address']): Member {
    const member = new Member(this, address, undefined, undefined)
    this.members.add(member)
    this.standards.add(member)
    this.standardsById.set(address.peerId, member)
    return member
  }

  /** Takes a member out, with its links, its place at the seeder and its share of imports; the zone with its last member. */
  remove(member: Member): void {
    this.setState(member, 'holding')
    for (const other of [...member.links]) this.unlink(member, other)
    this.members.remove(member)
    const { agent, zone } = member
    if (agent === undefined || zone === undefined) {
      this.standards.remove(member)
      this.standardsById.delete(member.address.peerId)
      return
    }
    zone.members.remove(member)
    agent.memberships.delete(this)
    if (zone.members.size > 0) return
    this.zones.remove(zone)
    this.#zoneByName.delete(zone.name)
  }

  setState(member: Member, state: SwarmState): void {
    if (member.state === state) return
    const completes = Number(state === 'seeding') - Number(member.state === 'seeding')
    member.state = state
    this.completeCount += completes
    if (completes !== 0) {
      for (const other of member.links) {
        other.sourceCount += completes
        this.list(other)
      }
    }
    const { zone } = member
    if (zone === undefined) return
    if (state === 'leeching') {
      zone.leechers.add(member)
      this.leecherCount++
    } else if (member.isLeecher) {
      zone.leechers.remove(member)
      member.inLeechers = -1
      this.leecherCount--
      this.setSeeder(member, false)
    }
    this.list(member)
  }

  setSeeder(member: Member, hasSeeder: boolean): void {
    const { zone } = member
    if (member.hasSeeder === hasSeeder || zone === undefined) return
    member.hasSeeder = hasSeeder
    if (hasSeeder) zone.seederHolders.add(member)
    else zone.seederHolders.delete(member)
    this.seederCount += hasSeeder ? 1 : -1
    if (hasSeeder && zone.seederHolders.size === 1) this.zonesWithSeeder++
    if (!hasSeeder && zone.seederHolders.size === 0) this.zonesWithSeeder--
    this.list(member)
  }

  link(one: Member, other: Member): void {
    assert(one !== other && !one.links.includes(other), 'two members are linked once')
    this.#join(one, other)
    this.#join(other, one)
  }

  unlink(one: Member, other: Member): void {
    this.#part(one, other)
    this.#part(other, one)
  }

  /** Puts a member on the lists of those that lack something, or takes it off, as its state and links now say. */
  list(member: Member): void {
    const { zone, isLeecher, isImporter } = member
    if (zone === undefined) return
    const { sourcesEnough, outsideNeighboursAim } = this.#rule
    const isLonely = isLeecher && member.insideCount < member.neighboursAim
    if (isLonely !== member.isLonely) {
      member.isLonely = isLonely
      if (isLonely) zone.lonely.add(member)
      else zone.lonely.delete(member)
    }
    const isWaiting = isLeecher && !member.hasSeeder && member.sourceCount < sourcesEnough
    if (isWaiting !== member.isWaiting) {
      member.isWaiting = isWaiting
      if (isWaiting) {
        member.waitingSince = ++this.#waits
        zone.waiting.add(member)
      } else zone.waiting.delete(member)
    }
    const lacksOutside = isImporter && member.outsideCount < outsideNeighboursAim
    if (lacksOutside !== member.lacksOutside) {
      member.lacksOutside = lacksOutside
      if (lacksOutside) this.lackOutside.add(member)
      else this.lackOutside.delete(member)
    }
  }

  #join(member: Member, other: Member): void {
    member.links.push(other)
    if (member.isOutside(other)) member.outsideCount++
    if (other.state === 'seeding') member.sourceCount++
    if (member.agent !== undefined) member.agent.totalDegree++
    this.list(member)
  }

  #part(member: Member, other: Member): void {
    const position = member.links.indexOf(other)
    assert(position >= 0, 'a link that ends was there')
    const last = member.links.pop()!
    if (position < member.links.length) member.links[position] = last
    if (member.isOutside(other)) member.outsideCount--
    if (other.state === 'seeding') member.sourceCount--
    if (member.agent !== undefined) member.agent.totalDegree--
    this.list(member)
  }

  #zoneFor(name: string): Zone {
    let zone = this.#zoneByName.get(name)
    if (zone === undefined) {
      zone = new Zone(name)
      this.#zoneByName.set(name, zone)
      this.zones.add(zone)
    }
    return zone
  }
}

export class Agent {
  readonly address: PeerAddress
  readonly zone: string
  readonly canTryPeers: boolean
  readonly memberships = new Map<TrackerSwarm, Member>()
  /** Neighbours in all swarms together. */
  totalDegree = 0
  /** Swarms in which it began to leech by its last announce that named any: an image's layers come in one. */
  swarmsAtATime = 1
  inTable = -1

  constructor(entry: AgentEntry) {
    this.address = entry.address
    this.zone = entry.zone
    this.canTryPeers = entry.canTryPeers ?? false
  }
}

/** The members of one swarm that are in one zone; agents only. */
export class Zone {
  readonly members = new Bag<'inZone', Member>('inZone')
  readonly leechers = new Bag<'inLeechers', Member>('inLeechers')
  /** Leechers with fewer neighbours here than they should have, in the order in which they came to lack them. */
  readonly lonely = new Set<Member>()
  /** Leechers that want the seeder and do not have it, those that have waited longest first. */
  readonly waiting = new Set<Member>()
  readonly importers: Member[] = []
  /** Leechers that have the seeder. */
  readonly seederHolders = new Set<Member>()
  inSwarm = -1

  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

export class Member {
  state: SwarmState = 'holding'
  /** Both ways: each is in the other's. A handful, so an array is smaller and faster than a set. */
  readonly links: Member[] = []
  /** Of the links, those to agents in other zones. */
  outsideCount = 0
  /** Of the links, those to members that have everything. */
  sourceCount = 0
  hasSeeder = false
  /** Neighbours in its own zone that it should have. */
  neighboursAim = 0
  /** Of the pieces, by remainder, those that this member may import; only importers have any. */
  readonly remainders: number[] = []
  /** What the agent was last told; undefined before it is told for the first time. */
  importsTold: ImportShare | undefined
  /** Whether it is on the list of that name: lists change far less often than links do. */
  isLonely = false
  isWaiting = false
  lacksOutside = false
  /** Counts up over all that began to wait for the seeder. */
  waitingSince = 0
  heardAtMs = 0
  inMembers = -1
  inZone = -1
  inLeechers = -1
  inStandards = -1

  readonly swarm: TrackerSwarm
  readonly address: PeerAddress
  readonly agent: Agent | undefined
  readonly zone: Zone | undefined

  /** @param agent absent for a standard client, which is in no zone and cannot be told of anything */
  constructor(swarm: TrackerSwarm, address: PeerAddress, agent: Agent | undefined, zone: Zone | undefined) {
    this.swarm = swarm
    this.address = address
    this.agent = agent
    this.zone = zone
  }

  get degree(): number {
    return this.links.length
  }

  get totalDegree(): number {
    return this.agent?.totalDegree ?? this.links.length
  }

  get insideCount(): number {
    return this.links.length - this.outsideCount
  }

  get isImporter(): boolean {
    return this.remainders.length > 0
  }

  /** Whether an agent leeches here: only those are looked after. */
  get isLeecher(): boolean {
    return this.inLeechers >= 0
  }

  isOutside(other: Member): boolean {
    return this.zone !== undefined && other.zone !== undefined && this.zone !== other.zone
  }
}
