/**
 * Goal: a zone imports an image once: its members know each other, a few importers share out what comes from outside, and
 * the seeder is given to all zones.
 * Method: stories with a few zones, the table's own checks after every step; who was told what is kept as agents would.
 */
import { createPrng, type PeerAddress } from '@shoal/core'
import { describe, expect, it } from 'vitest'
import { HANDOUT_RULE, type HandoutRule, type ImportShare } from '../policy/handout.ts'
import { TrackerTable } from './tracker-table.ts'

const id = (n: number) => n.toString(16).padStart(40, '0')
const INFO_HASH = 'aa'.repeat(20)
const seeder: PeerAddress = { peerId: id(0xeeee), host: '10.0.1.1', port: 7001, role: 'seeder' }
type State = 'leeching' | 'holding' | 'seeding'

class Swarm {
  readonly table: TrackerTable
  readonly zoneOf = new Map<number, string>()
  /** What each agent was told last. */
  readonly shares = new Map<number, ImportShare>()
  readonly tellings: number[] = []
  readonly #states = new Map<number, State>()

  constructor(rule: Partial<HandoutRule> = {}, seed = 1) {
    this.table = new TrackerTable({ seeder, prng: createPrng(seed), rule })
  }

  join(n: number, zone: string, state: State = 'leeching'): void {
    this.zoneOf.set(n, zone)
    const address: PeerAddress = { peerId: id(n), host: '10.0.0.1', port: 6001, role: 'agent' }
    this.#step({ kind: 'agent-joined', agent: { address, zone } })
    this.say(n, state)
  }

  say(n: number, state: State): void {
    this.#states.set(n, state)
    this.#step({ kind: 'announced', peerId: id(n), swarms: [{ infoHash: INFO_HASH, state }] })
  }

  leave(n: number): void {
    this.zoneOf.delete(n)
    this.shares.delete(n)
    this.#step({ kind: 'agent-left', peerId: id(n) })
  }

  neighbours(n: number): number[] {
    return this.table
      .neighbours(INFO_HASH, id(n))
      .filter(({ role }) => role === 'agent')
      .map(({ peerId }) => Number.parseInt(peerId, 16))
  }

  outside(n: number): number[] {
    return this.neighbours(n).filter((other) => this.zoneOf.get(other) !== this.zoneOf.get(n))
  }

  holders(zone?: string): number[] {
    return [...this.zoneOf.keys()].filter(
      (n) =>
        (zone === undefined || this.zoneOf.get(n) === zone) &&
        this.table.neighbours(INFO_HASH, id(n)).includes(seeder),
    )
  }

  importers(zone: string): number[] {
    return [...this.shares.keys()].filter(
      (n) => this.zoneOf.get(n) === zone && this.shares.get(n)!.remainders.length > 0,
    )
  }

  remainders(zone: string): number[][] {
    return this.importers(zone)
      .map((n) => [...this.shares.get(n)!.remainders])
      .toSorted((a, b) => a[0]! - b[0]!)
  }

  #step(event: Parameters<TrackerTable['step']>[1]): void {
    for (const effect of this.table.step(0, event)) {
      if (effect.kind !== 'set-imports') continue
      this.shares.set(Number.parseInt(effect.to, 16), effect.imports)
      this.tellings.push(Number.parseInt(effect.to, 16))
    }
    this.table.check()
  }
}

function threeZones(count: number, rule: Partial<HandoutRule> = {}, seed = 1): Swarm {
  const swarm = new Swarm(rule, seed)
  for (let n = 1; n <= count; n++) swarm.join(n, 'abc'[n % 3]!)
  return swarm
}

describe('a swarm in one zone', () => {
  it('has no importers, and nobody is told of any', () => {
    const swarm = new Swarm()
    for (let n = 1; n <= 40; n++) swarm.join(n, 'a')
    expect(swarm.tellings).toEqual([])
  })

  it('gets importers when a second zone comes, and loses them when it goes', () => {
    const swarm = new Swarm()
    for (let n = 1; n <= 40; n++) swarm.join(n, 'a')
    swarm.join(41, 'b')
    expect(swarm.remainders('a')).toEqual([[0], [1], [2], [3]])
    expect(swarm.remainders('b')).toEqual([[0, 1, 2, 3]])
    for (const importer of swarm.importers('a')) expect(swarm.outside(importer)).toEqual([41])
    swarm.leave(41)
    expect(swarm.remainders('a')).toEqual([])
  })
})

describe('a swarm in three zones', () => {
  it.each([1, 2, 3])('keeps ordinary members to their zone, seed %i', (seed) => {
    const swarm = threeZones(300, {}, seed)
    for (let n = 1; n <= 300; n++) {
      const inside = swarm.neighbours(n).length - swarm.outside(n).length
      expect(inside).toBeGreaterThanOrEqual(HANDOUT_RULE.neighboursAim)
      // Outside neighbours are links of importers: their own, or those that were given to them.
      for (const other of swarm.outside(n))
        expect([n, other].some((one) => swarm.shares.get(one)!.remainders.length > 0)).toBe(true)
    }
  })

  it('has four importers in each, with a quarter of the pieces each and neighbours in both other zones', () => {
    const swarm = threeZones(300)
    for (const zone of 'abc') {
      expect(swarm.remainders(zone)).toEqual([[0], [1], [2], [3]])
      const zonesMet = new Set<string>()
      for (const importer of swarm.importers(zone)) {
        expect(swarm.outside(importer).length).toBeGreaterThanOrEqual(HANDOUT_RULE.outsideNeighboursAim)
        for (const other of swarm.outside(importer)) zonesMet.add(swarm.zoneOf.get(other)!)
      }
      expect(zonesMet.size).toBe(2)
    }
  })

  it('deals the pieces out over the few that there are', () => {
    const swarm = threeZones(3)
    expect(swarm.remainders('a')).toEqual([[0, 1, 2, 3]])
    swarm.join(6, 'a')
    expect(swarm.remainders('a')).toEqual([
      [0, 1],
      [2, 3],
    ])
  })

  it.each(['leaves', 'holds', 'completes'] as const)(
    'finds a successor for one that %s, who alone is told',
    (how) => {
      const swarm = threeZones(60)
      const [gone, ...stayed] = swarm.importers('b')
      swarm.tellings.length = 0
      if (how === 'leaves') swarm.leave(gone!)
      else swarm.say(gone!, how === 'holds' ? 'holding' : 'seeding')
      expect(swarm.remainders('b')).toEqual([[0], [1], [2], [3]])
      expect(swarm.importers('b')).toEqual(expect.arrayContaining(stayed))
      const successors = swarm.tellings.filter((n) => n !== gone)
      expect(successors).toHaveLength(1)
      expect(swarm.outside(successors[0]!).length).toBeGreaterThanOrEqual(HANDOUT_RULE.outsideNeighboursAim)
    },
  )

  it('leaves the pieces of one that goes to the others where nobody else leeches', () => {
    const swarm = threeZones(6)
    const [gone] = swarm.importers('a')
    swarm.leave(gone!)
    expect(swarm.remainders('a')).toEqual([[0, 1, 2, 3]])
  })

  it('replaces neighbours outside that are lost', () => {
    const swarm = threeZones(90)
    const [importer] = swarm.importers('c')
    for (const other of swarm.outside(importer!)) swarm.leave(other)
    expect(swarm.outside(importer!).length).toBeGreaterThanOrEqual(HANDOUT_RULE.outsideNeighboursAim)
  })

  it('tells every leecher that comes what it may import, if only that it is nothing', () => {
    const swarm = threeZones(60)
    expect(swarm.shares.get(60)).toEqual({ modulus: 4, remainders: [] })
  })
})

it('links every zone to others, however many there are', () => {
  const swarm = new Swarm()
  for (let n = 1; n <= 200; n++) swarm.join(n, `zone ${n}`)
  for (let n = 2; n <= 200; n++)
    expect(new Set(swarm.outside(n)).size).toBeGreaterThanOrEqual(
      n <= 3 ? 1 : HANDOUT_RULE.outsideNeighboursAim,
    )
})

describe('the seeder', () => {
  it('has a place for every zone, if there are as many', () => {
    const swarm = threeZones(30, { seederNeighboursMax: 3 })
    for (const zone of 'abc') expect(swarm.holders(zone)).toHaveLength(1)
  })

  it('has one even for a zone that comes when all are taken', () => {
    const swarm = new Swarm({ seederNeighboursMax: 3 })
    for (let n = 1; n <= 10; n++) swarm.join(n, 'a')
    expect(swarm.holders('a')).toHaveLength(3)
    swarm.join(11, 'b')
    swarm.join(12, 'b')
    expect(swarm.holders('b')).toEqual([11])
    // The excess ends with the first place that falls free in a zone that has more than one.
    swarm.leave(swarm.holders('a')[0]!)
    expect(swarm.holders()).toHaveLength(3)
  })

  it('is passed on within the zone, to an importer first', () => {
    const swarm = threeZones(60, { seederNeighboursMax: 3 })
    const [holder] = swarm.holders('b')
    swarm.leave(holder!)
    const [next] = swarm.holders('b')
    expect(next).toBeDefined()
    expect(swarm.importers('b')).toContain(next)
  })

  it('goes to another zone where nobody waits', () => {
    const swarm = new Swarm({ seederNeighboursMax: 1 })
    swarm.join(1, 'a')
    swarm.join(2, 'b')
    expect(swarm.holders()).toEqual([1])
    swarm.leave(1)
    expect(swarm.holders()).toEqual([2])
  })

  it('is never without a neighbour while anyone leeches', () => {
    const swarm = threeZones(30)
    for (let left = 30; left > 1; left--) {
      const [holder] = swarm.holders()
      expect(holder).toBeDefined()
      swarm.say(holder!, 'seeding')
    }
  })
})
