/**
 * One swarm in the tracker's table: its members by zone, their links, and the lists of who lacks what, kept up with every
 * change so that no event walks all members. Decides nothing.
 */
import { assert, type InfoHash, type PeerId } from '@shoal/core'
import type { SwarmState } from '@shoal/wire'
import { type HandoutRule, neighboursAimOf } from '../policy/handout.ts'
import { Bag } from './bag.ts'
import { type Agent, Member, Zone } from './member.ts'

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
