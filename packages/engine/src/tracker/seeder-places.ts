/**
 * The seeder's places: it is given to few leechers of a swarm at a time, since each could draw a whole copy from it, and
 * to each zone's importers before others. Pure.
 */

import type { PeerAddress } from '@shoal/core'
import type { HandoutRule } from '../policy/handout.ts'
import type { News } from './news.ts'
import type { Member, TrackerSwarm, Zone } from './swarm.ts'

export class SeederPlaces {
  readonly #seeder: PeerAddress | undefined
  readonly #rule: HandoutRule
  readonly #news: News

  /** @param parts.seeder absent when nobody seeds beside the agents */
  constructor(parts: { seeder: PeerAddress | undefined; rule: HandoutRule; news: News }) {
    this.#seeder = parts.seeder
    this.#rule = parts.rule
    this.#news = parts.news
  }

  /** A leecher lacks the seeder: it gets a place if one is free, unless an importer of its zone waits too. */
  offer(member: Member): void {
    const { swarm, zone } = member
    if (zone === undefined || !zone.waiting.has(member) || !this.#hasRoom(swarm, zone)) return
    this.#give(waitingImporter(zone) ?? member)
  }

  /**
   * A member of `zone` had a place and has it no longer. Who left or paused gives it on to the one that waits longest, of
   * its own zone if there is one. Who has everything does not: it is a source itself, and the seeder would send more than
   * the swarm needs. But while anyone leeches the seeder is not without a neighbour: it could go on where others fail.
   */
  lost(swarm: TrackerSwarm, zone: Zone, isSource: boolean): void {
    if (swarm.leecherCount === 0 || (isSource && swarm.seederCount > 0)) return
    const next = this.#nextInLine(swarm, zone)
    if (next !== undefined) this.#give(next)
  }

  #nextInLine(swarm: TrackerSwarm, zone: Zone): Member | undefined {
    const neighbour = waitingImporter(zone) ?? first(zone.waiting)
    if (neighbour !== undefined && this.#hasRoom(swarm, zone)) return neighbour
    if (swarm.seederCount >= this.#rule.seederNeighboursMax) return undefined
    const elsewhere = longestWaiting(swarm)
    if (elsewhere !== undefined || swarm.seederCount > 0) return elsewhere
    // Everyone has sources enough.
    return anyLeecher(swarm, zone)
  }

  /** A zone that comes late gets its one place even if others hold all: they keep what they have until they are done. */
  #hasRoom(swarm: TrackerSwarm, zone: Zone): boolean {
    const { seederNeighboursMax } = this.#rule
    return (
      swarm.seederCount < seederNeighboursMax ||
      (zone.seederHolders.size === 0 && swarm.zonesWithSeeder < seederNeighboursMax)
    )
  }

  #give(member: Member): void {
    if (this.#seeder === undefined) return
    member.swarm.setSeeder(member, true)
    this.#news.peer(member, this.#seeder)
  }
}

function waitingImporter(zone: Zone): Member | undefined {
  return zone.importers.find((importer) => zone.waiting.has(importer))
}

function first<Item>(items: ReadonlySet<Item>): Item | undefined {
  for (const item of items) return item
  return undefined
}

function longestWaiting(swarm: TrackerSwarm): Member | undefined {
  let longest: Member | undefined
  for (const zone of swarm.zones.items) {
    const head = first(zone.waiting)
    if (head !== undefined && (longest === undefined || head.waitingSince < longest.waitingSince))
      longest = head
  }
  return longest
}

function anyLeecher(swarm: TrackerSwarm, zone: Zone): Member {
  const own = zone.importers[0] ?? zone.leechers.items[0]
  return own ?? swarm.zones.items.find(({ leechers }) => leechers.size > 0)!.leechers.items[0]!
}
