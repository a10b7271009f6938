/**
 * What a change of a swarm's membership sets off: neighbours for who came, successors for who went. Pure.
 * The order matters: shares of imports decide who is given neighbours outside and the seeder first.
 */
import { assert, type PeerAddress, type Prng } from '@shoal/core'
import type { SwarmState } from '@shoal/wire'
import type { HandoutRule } from '../policy/handout.ts'
import { Importers } from './importers.ts'
import { Neighbours } from './neighbours.ts'
import { News } from './news.ts'
import { SeederPlaces } from './seeder-places.ts'
import type { Agent, Member, TrackerSwarm, Zone } from './swarm.ts'

export class Handout {
  readonly news: News
  readonly #rule: HandoutRule
  readonly #neighbours: Neighbours
  readonly #importers: Importers
  readonly #places: SeederPlaces

  constructor(parts: { rule: HandoutRule; prng: Prng; seeder: PeerAddress | undefined }) {
    const { rule, prng, seeder } = parts
    assert(rule.importersPerZone > 0, 'every zone has somebody to import')
    this.news = new News(rule.importersPerZone)
    this.#rule = rule
    this.#neighbours = new Neighbours({ rule, prng, news: this.news })
    this.#importers = new Importers({ rule, prng, news: this.news })
    this.#places = new SeederPlaces({ seeder, rule, news: this.news })
  }

  joined(swarm: TrackerSwarm, agent: Agent, state: SwarmState): Member {
    const zoneCount = swarm.zones.size
    const member = swarm.addAgent(agent, state)
    if (zoneCount === 1 && swarm.zones.size === 2)
      for (const zone of swarm.zones.items) {
        this.#settle(swarm, zone)
        // Where nothing is said of shares, everybody asks everywhere.
        for (const leecher of zone.leechers.items) this.news.imports(leecher)
      }
    else this.#settle(swarm, member.zone!)
    // Said to everyone that comes: a share of an earlier stay may be remembered there.
    if (member.isLeecher && swarm.zones.size > 1) this.news.imports(member)
    this.#lookAfter(member)
    this.#neighbours.present(member)
    return member
  }

  stateChanged(member: Member, state: SwarmState): void {
    const { swarm, zone, hasSeeder } = member
    if (zone === undefined) return
    swarm.setState(member, state)
    this.#settle(swarm, zone)
    if (hasSeeder && !member.hasSeeder) this.#places.lost(swarm, zone, state === 'seeding')
    this.#lookAfter(member)
  }

  left(member: Member): void {
    const { swarm, zone, hasSeeder } = member
    const bereaved = [...member.links]
    swarm.remove(member)
    if (zone !== undefined) {
      this.#settle(swarm, zone)
      if (swarm.zones.size === 1 && zone.members.size === 0) this.#settle(swarm, swarm.zones.items[0]!)
      if (hasSeeder) this.#places.lost(swarm, zone, false)
    }
    this.news.left(member)
    for (const other of bereaved) {
      if (!other.isLeecher) continue
      if (other.insideCount <= this.#rule.neighboursLow) this.#lookAfter(other)
      else this.#places.offer(other)
      if (other.isImporter) this.#neighbours.fillOutside(other)
    }
  }

  /** Gives a leecher what it lacks; who wants nothing waits to be dialled. */
  #lookAfter(member: Member): void {
    if (!member.isLeecher) return
    this.#neighbours.fill(member)
    this.#places.offer(member)
    const isStranded = member.insideCount === 0 && !member.hasSeeder
    if (member.isImporter || isStranded) this.#neighbours.fillOutside(member)
  }

  #settle(swarm: TrackerSwarm, zone: Zone): void {
    for (const importer of this.#importers.settle(swarm, zone)) this.#neighbours.fillOutside(importer)
  }
}
