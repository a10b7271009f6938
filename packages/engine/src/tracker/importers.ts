/**
 * Importers: in a swarm of several zones, the few leechers of each zone that may fetch from other zones, each its part of
 * the pieces, so that a piece comes into a zone once. Every remainder is held once as long as the zone has a leecher. Pure.
 */

import type { Prng } from '@shoal/core'
import { dealRemainders, firstFromAnywhere, type HandoutRule } from '../policy/handout.ts'
import type { News } from './news.ts'
import type { Member, TrackerSwarm, Zone } from './swarm.ts'

export class Importers {
  readonly #rule: HandoutRule
  readonly #prng: Prng
  readonly #news: News

  constructor(parts: { rule: HandoutRule; prng: Prng; news: News }) {
    this.#rule = parts.rule
    this.#prng = parts.prng
    this.#news = parts.news
  }

  /**
   * Brings a zone's importers in line with its leechers; called after every change of either.
   * @returns those that were appointed: they lack neighbours outside
   */
  settle(swarm: TrackerSwarm, zone: Zone): readonly Member[] {
    const isOneOfSeveral = swarm.zones.size > 1 && swarm.zones.has(zone)
    const wanted = isOneOfSeveral ? Math.min(this.#rule.importersPerZone, zone.leechers.size) : 0
    const isNew = zone.importers.length === 0
    if (isNew && wanted === 0) return NONE
    const unheld = this.#dismiss(swarm, zone, (member) => wanted > 0 && member.isLeecher)
    if (wanted === 0) return NONE
    if (isNew)
      for (let remainder = 0; remainder < this.#rule.importersPerZone; remainder++) unheld.push(remainder)
    const appointed: Member[] = []
    while (zone.importers.length < wanted) appointed.push(this.#appoint(zone))
    if (appointed.length === 0 && unheld.length === 0) return NONE
    const changed = dealRemainders(
      zone.importers.map(({ remainders }) => remainders),
      unheld,
    )
    for (const position of changed) {
      const importer = zone.importers[position]!
      this.#news.imports(importer)
      swarm.list(importer)
    }
    return appointed
  }

  /** @returns the remainders of those that may not stay */
  #dismiss(swarm: TrackerSwarm, zone: Zone, mayStay: (importer: Member) => boolean): number[] {
    const unheld: number[] = []
    for (let position = zone.importers.length - 1; position >= 0; position--) {
      const importer = zone.importers[position]!
      if (mayStay(importer)) continue
      zone.importers.splice(position, 1)
      unheld.push(...importer.remainders.splice(0))
      this.#news.imports(importer)
      swarm.list(importer)
    }
    return unheld
  }

  /** One that has the seeder, which is outside most zones, or else anyone. */
  #appoint(zone: Zone): Member {
    const isFree = (member: Member) => !zone.importers.includes(member)
    const chosen =
      [...zone.seederHolders].find(isFree) ?? firstFromAnywhere(zone.leechers.items, isFree, this.#prng)!
    zone.importers.push(chosen)
    return chosen
  }
}

const NONE: readonly Member[] = []
