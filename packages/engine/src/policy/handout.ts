/**
 * The handout: whom a member of a swarm is told of. Pure: membership and chance are arguments.
 *
 * A near-regular random graph, whose diameter grows with log(nodes): for each place a few members are drawn at random and
 * the least loaded of them is taken ("the power of two choices", Mitzenmacher 2001), at a cost that does not grow with the
 * swarm. Taking the least loaded of all instead would join every newcomer to those that came just before it: a band whose
 * diameter grows with the nodes themselves.
 *
 * A zone imports an image about once: its members know each other only, except for a few importers that share out among
 * them which pieces they fetch from outside.
 */

import type { Prng } from '@shoal/core'
import { assert } from '@shoal/core'

export interface HandoutRule {
  /** Neighbours in its own zone that a leecher is given. */
  readonly neighboursAim: number
  /** Links of all swarms that an agent asks for at a time; where that is too few for the aim, as for an image of many layers, each swarm has fewer. */
  readonly linksAim: number
  /** A leecher that is left with so few of them, or fewer, is given new ones at once. */
  readonly neighboursLow: number
  /** A member with this many neighbours, of all zones, is offered no further. */
  readonly degreeMax: number
  /** Members that are drawn for each place, to take the least loaded. */
  readonly drawsPerPlace: number
  /** Leechers of one swarm that the seeder serves at a time: each could draw a whole copy from it. */
  readonly seederNeighboursMax: number
  /** A leecher with this many complete neighbours does without the seeder. */
  readonly sourcesEnough: number
  /** Leechers of a zone that fetch from other zones, each its part of the pieces; also the modulus of their shares. */
  readonly importersPerZone: number
  /** Neighbours in other zones that an importer is given. */
  readonly outsideNeighboursAim: number
}

export const HANDOUT_RULE: HandoutRule = {
  neighboursAim: 8,
  // Each link is a connection, and others ask for as many again: half of an agent's 512.
  linksAim: 160,
  // Half the aim is still plenty; below it a second loss would be felt.
  neighboursLow: 4,
  // All members' links, of which each has begun 8 at most, come to 16 a member: a third of all are always open to more.
  degreeMax: 24,
  drawsPerPlace: 3,
  // Their links are full of what others send: so many together take all that the seeder's link gives.
  seederNeighboursMax: 8,
  // One may fail.
  sourcesEnough: 2,
  importersPerZone: 4,
  outsideNeighboursAim: 3,
}

/** Which pieces a member may ask of peers in other zones: those with `index % modulus` among the remainders. */
export interface ImportShare {
  readonly modulus: number
  /** Ascending. Empty: none. */
  readonly remainders: readonly number[]
}

/** Of a member that is no importer. */
export const NO_IMPORTS: ImportShare = { modulus: 1, remainders: [] }

/** What makes one member a better choice than another. */
export interface Load {
  /** Neighbours in this swarm. */
  readonly degree: number
  /** Neighbours in all swarms together. */
  readonly totalDegree: number
}

/** Draws that come to nothing (a neighbour already, or full) before a place is given up, as a multiple of those wanted. */
const ATTEMPTS_PER_DRAW = 4
/** A pool so small is looked through when the draws hit nobody: of ten members the last free one must be found. */
const LOOKED_THROUGH_MAX = 64

/**
 * Draws a few of the pool and takes the least loaded: by degree in the swarm, then in all swarms, then by chance.
 *
 * @param isOpen whether a member may be taken for this place at all
 * @returns undefined where nobody was found
 */
export function drawLeastLoaded<Member extends Load>(
  pool: readonly Member[],
  isOpen: (member: Member) => boolean,
  drawsPerPlace: number,
  prng: Prng,
): Member | undefined {
  if (pool.length === 0) return undefined
  let best: Member | undefined
  let drawn = 0
  for (let attempt = 0; attempt < drawsPerPlace * ATTEMPTS_PER_DRAW && drawn < drawsPerPlace; attempt++) {
    const member = pool[prng.below(pool.length)]!
    if (!isOpen(member)) continue
    drawn++
    if (best === undefined || isLessLoaded(member, best)) best = member
  }
  return best ?? (pool.length <= LOOKED_THROUGH_MAX ? firstFromAnywhere(pool, isOpen, prng) : undefined)
}

/** The first item, from a random position on and around, that will do; walks past all that will not. */
export function firstFromAnywhere<Item>(
  pool: readonly Item[],
  willDo: (item: Item) => boolean,
  prng: Prng,
): Item | undefined {
  if (pool.length === 0) return undefined
  const start = prng.below(pool.length)
  for (let step = 0; step < pool.length; step++) {
    const item = pool[(start + step) % pool.length]!
    if (willDo(item)) return item
  }
  return undefined
}

/** Up to `countMax` different items of the pool, without walking all of a large one. */
export function drawDistinct<Item>(pool: readonly Item[], countMax: number, prng: Prng): Item[] {
  // Beyond half of the pool drawing would mostly hit what was drawn before.
  if (pool.length <= 2 * countMax) return prng.shuffled(pool).slice(0, countMax)
  const drawn = new Set<Item>()
  while (drawn.size < countMax) drawn.add(pool[prng.below(pool.length)]!)
  return [...drawn]
}

/**
 * Deals remainders that nobody holds out to those that hold the fewest, and evens out what they hold.
 *
 * @param shares the remainders of each importer; changed in place. At least one importer
 * @returns positions of the shares that changed
 */
export function dealRemainders(shares: readonly number[][], unheld: readonly number[]): Set<number> {
  assert(shares.length > 0, 'remainders are dealt out to somebody')
  const changed = new Set<number>()
  const give = (remainder: number, to: number) => {
    shares[to]!.push(remainder)
    shares[to]!.sort((a, b) => a - b)
    changed.add(to)
  }
  for (const remainder of unheld) give(remainder, extremeOf(shares, -1))
  for (;;) {
    const [poorest, richest] = [extremeOf(shares, -1), extremeOf(shares, 1)]
    if (shares[richest]!.length - shares[poorest]!.length <= 1) return changed
    give(shares[richest]!.pop()!, poorest)
    changed.add(richest)
  }
}

/** @param sign 1 for the position of the longest share, -1 for the shortest; the first of equals */
function extremeOf(shares: readonly number[][], sign: 1 | -1): number {
  let extreme = 0
  for (let i = 1; i < shares.length; i++)
    if (sign * shares[i]!.length > sign * shares[extreme]!.length) extreme = i
  return extreme
}

function isLessLoaded(a: Load, b: Load): boolean {
  return a.degree < b.degree || (a.degree === b.degree && a.totalDegree < b.totalDegree)
}

/** Neighbours that a leecher is given in each of the `swarms` that its agent has joined at a time. */
export function neighboursAimOf(rule: HandoutRule, swarms: number): number {
  const share = Math.floor(rule.linksAim / Math.max(1, swarms))
  return Math.min(rule.neighboursAim, Math.max(rule.neighboursLow, share))
}
