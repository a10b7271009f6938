/** Gives members their neighbours, by chance and load: in their own zone, and for importers in others. Pure. */

import type { Prng } from '@shoal/core'
import { drawLeastLoaded, type HandoutRule } from '../policy/handout.ts'
import type { News } from './news.ts'
import type { Member, Zone } from './swarm.ts'

export class Neighbours {
  readonly #rule: HandoutRule
  readonly #prng: Prng
  readonly #news: News

  constructor(parts: { rule: HandoutRule; prng: Prng; news: News }) {
    this.#rule = parts.rule
    this.#prng = parts.prng
    this.#news = parts.news
  }

  /** Gives a leecher the neighbours in its own zone that it lacks, standard clients where the zone has too few. */
  fill(member: Member): void {
    const { zone, swarm } = member
    if (zone === undefined || !member.isLeecher) return
    const { neighboursAim } = member
    while (member.insideCount < neighboursAim && this.#meet(member, zone.members.items));
    while (member.insideCount < neighboursAim && this.#meet(member, swarm.standards.items));
  }

  /** Gives an importer, or one that has nobody else, the neighbours in other zones that it lacks. */
  fillOutside(member: Member): void {
    const { swarm, zone } = member
    const { outsideNeighboursAim } = this.#rule
    if (zone === undefined) return
    while (member.outsideCount < outsideNeighboursAim) {
      const unmet = this.#zonesToMeet(member, zone, swarm.zones.items)
      if (!unmet.some((other) => this.#meet(member, other.members.items))) return
    }
  }

  /** Those that came when there was nobody to be given are told of the newcomer, unless it dials them itself. */
  present(newcomer: Member): void {
    const { zone, swarm } = newcomer
    if (zone === undefined) return
    for (const lonely of zone.lonely) if (!this.#introduce(lonely, newcomer)) break
    if (swarm.zones.size < 2) return
    // No more than the zone's own importers and the newcomer's neighbours are passed over.
    for (const importer of swarm.lackOutside)
      if (importer.zone !== zone && !this.#introduce(importer, newcomer)) break
  }

  /** @returns whether the newcomer may be given to others still */
  #introduce(member: Member, newcomer: Member): boolean {
    if (newcomer.degree >= this.#rule.degreeMax) return false
    if (member === newcomer || member.links.includes(newcomer)) return true
    newcomer.swarm.link(member, newcomer)
    this.#news.peer(member, newcomer.address)
    return true
  }

  /** Links a member to one of the pool, which it is to dial. */
  #meet(member: Member, pool: readonly Member[]): boolean {
    const { degreeMax, drawsPerPlace } = this.#rule
    const isOpen = (other: Member) =>
      other !== member && other.degree < degreeMax && !member.links.includes(other)
    const other = drawLeastLoaded(pool, isOpen, drawsPerPlace, this.#prng)
    if (other === undefined) return false
    member.swarm.link(member, other)
    this.#news.peer(member, other.address)
    return true
  }

  /** Some other zones in random order, first those in which the member knows nobody. */
  #zonesToMeet(member: Member, own: Zone, zones: readonly Zone[]): Zone[] {
    const some: Zone[] = []
    const start = this.#prng.below(zones.length)
    // Twice as many as there are places: enough to find new ones among, whatever the number of zones.
    const countMax = Math.min(zones.length, 2 * this.#rule.outsideNeighboursAim + 1)
    for (let step = 0; step < countMax; step++) {
      const zone = zones[(start + step) % zones.length]!
      if (zone !== own) some.push(zone)
    }
    const isKnown = (zone: Zone) => Number(member.links.some((other) => other.zone === zone))
    return some.sort((a, b) => isKnown(a) - isKnown(b))
  }
}
