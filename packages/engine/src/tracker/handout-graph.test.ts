/**
 * Goal: what comes of the handout when many join at once is a near-regular random graph, at a cost that does not grow.
 * Method: seeded swarms of 500 and 10,000; degrees are counted and hops measured from several members.
 */
import { createPrng, type PeerAddress } from '@shoal/core'
import { describe, expect, it } from 'vitest'
import { HANDOUT_RULE } from '../policy/handout.ts'
import { TrackerTable } from './tracker-table.ts'

const id = (n: number) => n.toString(16).padStart(40, '0')
const INFO_HASH = 'aa'.repeat(20)
const address = (n: number): PeerAddress => ({ peerId: id(n), host: '10.0.0.1', port: 6001, role: 'agent' })

function joinAll(count: number, seed: number): TrackerTable {
  const table = new TrackerTable({ prng: createPrng(seed) })
  for (let n = 0; n < count; n++) {
    table.step(0, { kind: 'agent-joined', agent: { address: address(n), zone: '' } })
    table.step(0, { kind: 'announced', peerId: id(n), swarms: [{ infoHash: INFO_HASH, state: 'leeching' }] })
  }
  return table
}

function graphOf(table: TrackerTable, count: number): number[][] {
  return Array.from({ length: count }, (_, n) =>
    table.neighbours(INFO_HASH, id(n)).map(({ peerId }) => Number.parseInt(peerId, 16)),
  )
}

/** Hops to the member furthest away; Infinity where some cannot be reached. */
function hopsFrom(start: number, graph: readonly number[][]): number {
  const hops = new Int32Array(graph.length).fill(-1)
  hops[start] = 0
  const queue = [start]
  for (let at = 0; at < queue.length; at++) {
    const one = queue[at]!
    for (const other of graph[one]!) {
      if (hops[other]! >= 0) continue
      hops[other] = hops[one]! + 1
      queue.push(other)
    }
  }
  return queue.length === graph.length ? hops[queue.at(-1)!]! : Number.POSITIVE_INFINITY
}

describe.each([
  [500, 1],
  [500, 2],
  [500, 3],
  [10_000, 1],
])('%i members that come at once, seed %i', (count, seed) => {
  const graph = graphOf(joinAll(count, seed), count)
  const degrees = graph.map((neighbours) => neighbours.length).toSorted((a, b) => a - b)
  const mean = degrees.reduce((sum, degree) => sum + degree, 0) / count

  it('have even degrees', () => {
    expect(degrees[0]).toBeGreaterThanOrEqual(HANDOUT_RULE.neighboursAim)
    expect(degrees.at(-1)).toBeLessThanOrEqual(HANDOUT_RULE.degreeMax)
    const even = degrees.filter((degree) => degree >= mean / 2 && degree <= mean * 2)
    expect(even.length).toBeGreaterThanOrEqual(0.95 * count)
  })

  it('are few hops from each other, the first and the last among them', () => {
    const hopsMax = 2 * Math.log2(count)
    for (const start of [0, 1, count >> 1, count - 1])
      expect(hopsFrom(start, graph)).toBeLessThanOrEqual(hopsMax)
  })

  it('are not joined to those that came just before them', () => {
    const spans = graph.flatMap((neighbours, n) =>
      neighbours.filter((other) => other < n).map((other) => (n - other) / n),
    )
    const meanSpan = spans.reduce((sum, span) => sum + span, 0) / spans.length
    // Evenly over all that were there would be 0.5; the latest have the fewest neighbours and are taken more often.
    expect(meanSpan).toBeGreaterThan(0.25)
  })
})

it('stays even when half of a swarm goes', () => {
  const table = joinAll(1_000, 7)
  for (let n = 0; n < 1_000; n += 2) table.step(0, { kind: 'agent-left', peerId: id(n) })
  table.check()
  const stayed = Array.from({ length: 500 }, (_, i) => table.neighbours(INFO_HASH, id(2 * i + 1)))
  for (const neighbours of stayed) {
    expect(neighbours.length).toBeGreaterThan(HANDOUT_RULE.neighboursLow)
    expect(neighbours.length).toBeLessThanOrEqual(HANDOUT_RULE.degreeMax)
  }
})

it('offers less to those that feed many in other swarms', () => {
  const table = new TrackerTable({ prng: createPrng(3) })
  const announce = (n: number, infoHash: string) =>
    table.step(0, { kind: 'announced', peerId: id(n), swarms: [{ infoHash, state: 'leeching' }] })
  const join = (n: number) => {
    table.step(0, { kind: 'agent-joined', agent: { address: address(n), zone: '' } })
    // Every other one is busy in ten more swarms.
    if (n % 2 === 0)
      for (let other = 0; other < 10; other++) announce(n, other.toString(16).padStart(40, 'b'))
    announce(n, INFO_HASH)
  }
  for (let n = 0; n < 1_000; n++) join(n)
  const degrees = [0, 0]
  for (let n = 0; n < 1_000; n++) degrees[n % 2]! += table.neighbours(INFO_HASH, id(n)).length
  const [busy, idle] = degrees as [number, number]
  expect(busy).toBeLessThan(idle)
})
