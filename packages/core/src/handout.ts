/**
 * Chooses which neighbours a peer is given. Pure: membership and chance are arguments.
 *
 * A near-regular random graph: the newcomer is joined to those that have the fewest neighbours so far, ties broken by
 * chance, which keeps every degree near the aim and the diameter near log(nodes). Zones first, a few outside, so that a
 * zone imports an image about once. One side dials: the newcomer is told of the others, never the reverse.
 */
import type { Prng } from './prng.ts'

export interface HandoutRule {
  /** Neighbours that a newcomer is given at most. */
  readonly neighboursAim: number
  /** Of these, how many come from other zones where the own zone could fill all places. */
  readonly outsideZoneAim: number
  /** Leechers of one swarm that the seeder serves at a time: each could draw a whole copy from it. */
  readonly seederNeighboursMax: number
  /** A member with this many neighbours is offered no further. */
  readonly degreeMax: number
}

export const HANDOUT_RULE: HandoutRule = {
  neighboursAim: 8,
  outsideZoneAim: 2,
  seederNeighboursMax: 2,
  degreeMax: 24,
}

export interface HandoutCandidate {
  readonly id: string
  readonly zone: string
  /** How many neighbours it was given or was given to, in this swarm. */
  readonly degree: number
}

/**
 * @param candidates members of the swarm other than the newcomer and its neighbours
 * @returns ids of the neighbours, at most `count`
 */
export function chooseNeighbours(
  newcomer: { readonly zone: string },
  candidates: readonly HandoutCandidate[],
  count: number,
  rule: HandoutRule,
  prng: Prng,
): string[] {
  const order = candidates
    .filter((candidate) => candidate.degree < rule.degreeMax)
    .map((candidate) => ({ candidate, tie: prng.next() }))
    .sort(
      (a, b) =>
        a.candidate.degree - b.candidate.degree ||
        a.tie - b.tie ||
        (a.candidate.id < b.candidate.id ? -1 : 1),
    )
    .map(({ candidate }) => candidate)
  const inside = order.filter((candidate) => candidate.zone === newcomer.zone)
  const outside = order.filter((candidate) => candidate.zone !== newcomer.zone)
  const outsideCount = Math.min(outside.length, Math.max(rule.outsideZoneAim, count - inside.length), count)
  return [...inside.slice(0, count - outsideCount), ...outside.slice(0, outsideCount)].map(({ id }) => id)
}
