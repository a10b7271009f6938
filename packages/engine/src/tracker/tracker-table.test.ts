import { createPrng, type PeerAddress } from '@shoal/core'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { HANDOUT_RULE } from '../policy/handout.ts'
import { STANDARD_TTL_MS, TRACKER_LIMITS, type TrackerEffect, type TrackerEvent } from './protocol.ts'
import { TrackerTable } from './tracker-table.ts'

// Goal: everybody finds enough neighbours, the seeder is given to few, and nothing is kept of who has gone.
// Method: single stories first; then thousands of random events with the table's own checks after every step.
const id = (n: number) => n.toString(16).padStart(40, '0')
const swarm = (n: number) => n.toString(16).padStart(40, 'f')
const address = (n: number): PeerAddress => ({
  peerId: id(n),
  host: `10.0.0.${n}`,
  port: 6001,
  role: 'agent',
})
const seeder: PeerAddress = { peerId: id(0xeeee), host: '10.0.1.1', port: 7001, role: 'seeder' }

let table: TrackerTable
beforeEach(() => {
  table = new TrackerTable({ seeder, prng: createPrng(1), rule: { ...HANDOUT_RULE, seederNeighboursMax: 2 } })
})

function step(event: TrackerEvent, nowMs = 0): TrackerEffect[] {
  const effects = table.step(nowMs, event)
  table.check()
  return effects
}

function join(n: number, zone = ''): TrackerEffect[] {
  return step({ kind: 'agent-joined', agent: { address: address(n), zone } })
}

function announce(
  n: number,
  state: 'leeching' | 'holding' | 'seeding',
  infoHash = swarm(1),
): TrackerEffect[] {
  return step({ kind: 'announced', peerId: id(n), swarms: [{ infoHash, state }] })
}

const told = (effects: TrackerEffect[], n: number) =>
  effects
    .flatMap((effect) => (effect.kind === 'send-peers' && effect.to === id(n) ? effect.peers : []))
    .map((p) => p.peerId)

describe('TrackerTable', () => {
  it('gives the first leecher the seeder, and says that the swarm began', () => {
    join(1)
    const effects = announce(1, 'leeching')
    expect(effects[0]).toEqual({ kind: 'swarm-began', infoHash: swarm(1) })
    expect(told(effects, 1)).toEqual([seeder.peerId])
  })

  it('gives the seeder to few, and its place to the one that has waited longest', () => {
    for (let n = 1; n <= 5; n++) join(n)
    const given = [1, 2, 3, 4, 5].filter((n) => told(announce(n, 'leeching'), n).includes(seeder.peerId))
    expect(given).toEqual([1, 2])
    expect(told(step({ kind: 'agent-left', peerId: id(1) }), 3)).toEqual([seeder.peerId])
    expect(told(announce(2, 'holding'), 4)).toEqual([seeder.peerId])
  })

  it('gives nobody the place of one that has all, which is a source itself, as long as another has the seeder', () => {
    for (let n = 1; n <= 4; n++) {
      join(n)
      announce(n, 'leeching')
    }
    expect(announce(1, 'seeding')).toEqual([])
    // Two that have everything are enough for 3 and 4, but the seeder is not left without a neighbour.
    const effects = announce(2, 'seeding')
    expect([...told(effects, 3), ...told(effects, 4)]).toEqual([seeder.peerId])
    join(5)
    expect(told(announce(5, 'leeching'), 5)).not.toContain(seeder.peerId)
  })

  it('has the newcomer dial: nobody is told twice of the same pair', () => {
    join(1)
    join(2)
    announce(1, 'leeching')
    const effects = announce(2, 'leeching')
    expect(told(effects, 2)).toContain(id(1))
    expect(told(effects, 1)).toEqual([])
    expect(announce(2, 'leeching')).toEqual([])
  })

  it('tells a leecher of who comes later with pieces', () => {
    join(1)
    join(2)
    announce(1, 'leeching')
    expect(told(announce(2, 'holding'), 1)).toEqual([id(2)])
  })

  it('gives who lost half of its neighbours new ones', () => {
    for (let n = 1; n <= 30; n++) {
      join(n)
      announce(n, 'leeching')
    }
    const before = table.neighbours(swarm(1), id(30))
    for (const { peerId } of before) if (peerId !== seeder.peerId) step({ kind: 'agent-left', peerId })
    expect(table.neighbours(swarm(1), id(30)).length).toBeGreaterThanOrEqual(HANDOUT_RULE.neighboursAim / 2)
  })

  it('forgets a swarm with its last member', () => {
    join(1)
    announce(1, 'seeding')
    const effects = step({ kind: 'swarms-left', peerId: id(1), infoHashes: [swarm(1)] })
    expect(effects).toEqual([{ kind: 'swarm-ended', infoHash: swarm(1) }])
    expect(table.swarmCount).toBe(0)
  })

  it('begins anew with an agent that comes on a second stream', () => {
    join(1)
    announce(1, 'seeding')
    join(1)
    expect(table.swarmCount).toBe(0)
    expect(table.agentCount).toBe(1)
  })

  it('ignores announces of agents that never said hello', () => {
    expect(announce(1, 'leeching')).toEqual([])
    expect(table.swarmCount).toBe(0)
  })

  it('keeps a standard client as long as it announces, and lets none take an agent’s place', () => {
    const standard = {
      kind: 'standard-announced',
      infoHash: swarm(1),
      address: address(9),
      isComplete: false,
    } as const
    step(standard, 0)
    step(standard, STANDARD_TTL_MS)
    step({ kind: 'tick' }, STANDARD_TTL_MS + 1)
    expect(table.counts(swarm(1))).toEqual({ complete: 0, incomplete: 1 })
    step({ kind: 'tick' }, 2 * STANDARD_TTL_MS + 1)
    expect(table.swarmCount).toBe(0)
    join(1)
    step({ ...standard, address: { ...address(1), host: '6.6.6.6' } })
    expect(table.isMember(swarm(1), id(1))).toBe(false)
  })

  it('answers a standard client with the seeder and others, never itself', () => {
    for (let n = 1; n <= 4; n++) {
      join(n)
      announce(n, 'seeding')
    }
    const sample = table.sample(swarm(1), id(2), 3).map(({ peerId }) => peerId)
    expect(sample[0]).toBe(seeder.peerId)
    expect(sample).toHaveLength(3)
    expect(table.sample(swarm(1), id(2), 50).map(({ peerId }) => peerId)).not.toContain(id(2))
  })

  it('keeps its books under any order of events', () => {
    const agents = fc.integer({ min: 1, max: 20 })
    const swarms = fc.integer({ min: 1, max: 3 })
    const events: fc.Arbitrary<TrackerEvent> = fc.oneof(
      agents.map((n) => ({
        kind: 'agent-joined' as const,
        agent: { address: address(n), zone: 'abc'[n % 3]! },
      })),
      agents.map((n) => ({ kind: 'agent-left' as const, peerId: id(n) })),
      {
        weight: 4,
        arbitrary: fc
          .tuple(
            agents,
            swarms,
            fc.constantFrom('leeching' as const, 'leeching' as const, 'holding' as const, 'seeding' as const),
          )
          .map(([n, s, state]) => ({
            kind: 'announced' as const,
            peerId: id(n),
            swarms: [{ infoHash: swarm(s), state }],
          })),
      },
      fc
        .tuple(agents, swarms)
        .map(([n, s]) => ({ kind: 'swarms-left' as const, peerId: id(n), infoHashes: [swarm(s)] })),
      fc.tuple(agents, swarms, fc.boolean()).map(([n, s, isComplete]) => ({
        kind: 'standard-announced' as const,
        infoHash: swarm(s),
        address: address(n + 10),
        isComplete,
      })),
      fc
        .tuple(agents, swarms)
        .map(([n, s]) => ({ kind: 'standard-stopped' as const, infoHash: swarm(s), peerId: id(n + 10) })),
      fc.constant({ kind: 'tick' as const }),
    )
    const rules = fc.record({
      neighboursAim: fc.integer({ min: 1, max: 4 }),
      neighboursLow: fc.integer({ min: 0, max: 2 }),
      degreeMax: fc.integer({ min: 4, max: 8 }),
      seederNeighboursMax: fc.integer({ min: 1, max: 3 }),
      importersPerZone: fc.integer({ min: 1, max: 4 }),
      outsideNeighboursAim: fc.integer({ min: 1, max: 3 }),
    })
    fc.assert(
      fc.property(fc.nat(), rules, fc.array(events, { maxLength: 300 }), (seed, rule, story) => {
        const random = new TrackerTable({ seeder, prng: createPrng(seed), rule })
        const live = new Set<string>()
        story.forEach((event, second) => {
          for (const effect of random.step(second * 20_000, event)) {
            if (effect.kind === 'swarm-began') expect(live.has(effect.infoHash)).toBe(false)
            if (effect.kind === 'swarm-began') live.add(effect.infoHash)
            if (effect.kind === 'swarm-ended') expect(live.delete(effect.infoHash)).toBe(true)
            if (effect.kind === 'send-peers') {
              const neighbours = random.neighbours(effect.infoHash, effect.to)
              expect(effect.peers.every((peer) => neighbours.includes(peer))).toBe(true)
            }
            if (effect.kind === 'set-imports')
              expect(random.imports(effect.infoHash, effect.to)).toEqual(effect.imports)
          }
          random.check()
          expect(random.swarmCount).toBe(live.size)
        })
      }),
      { numRuns: 300 },
    )
  })

  it('has one answer for one seed', () => {
    const run = () => {
      const table = new TrackerTable({ seeder, prng: createPrng(5) })
      return Array.from({ length: 60 }, (_, n) => {
        const agent = { address: address(n + 1), zone: 'ab'[n % 2]! }
        table.step(0, { kind: 'agent-joined', agent })
        const swarms = [{ infoHash: swarm(1), state: 'leeching' as const }]
        return table.step(0, { kind: 'announced', peerId: id(n + 1), swarms })
      })
    }
    expect(run()).toEqual(run())
  })
})

describe('an agent in more swarms than it may be in', () => {
  const limits = { ...TRACKER_LIMITS, swarmsPerAgentMax: 3 }
  const joined = (...infoHashes: string[]): TrackerEvent => ({
    kind: 'announced',
    peerId: id(1),
    swarms: infoHashes.map((infoHash) => ({ infoHash, state: 'leeching' as const })),
  })
  const isIn = (n: number) => [...table.agentsIn(swarm(n))].includes(id(1))

  it('is in those that it named first, until it leaves one', () => {
    table = new TrackerTable({ seeder, prng: createPrng(1), limits })
    join(1)
    step(joined(swarm(1), swarm(2)))
    step(joined(swarm(3), swarm(4)))
    expect([1, 2, 3, 4].map(isIn)).toEqual([true, true, true, false])
    // What it is in may change its state all the same.
    announce(1, 'seeding', swarm(2))
    expect(table.isSeeding(swarm(2), id(1))).toBe(true)
    step({ kind: 'swarms-left', peerId: id(1), infoHashes: [swarm(1)] })
    step(joined(swarm(4)))
    expect([1, 2, 3, 4].map(isIn)).toEqual([false, true, true, true])
  })

  it('is in 8,192 as a rule', () => {
    join(1)
    const infoHashes = Array.from({ length: 8_193 }, (_, n) => id(n))
    table.step(0, joined(...infoHashes))
    expect(infoHashes.slice(-2).map((infoHash) => [...table.agentsIn(infoHash)])).toEqual([[id(1)], []])
  })
})

describe('standard clients', () => {
  const came = (n: number, host: string, infoHash: string) =>
    table.step(0, {
      kind: 'standard-announced',
      infoHash,
      address: { peerId: id(n), host, port: 6881, role: 'agent' },
      isComplete: false,
    })
  const countIn = (infoHash: string) => table.counts(infoHash).incomplete

  it('are 500 from one address: who was heard longest ago makes room, in whatever swarm', () => {
    for (let n = 0; n < 300; n++) came(n, '10.0.0.1', swarm(1))
    for (let n = 300; n < 600; n++) came(n, '10.0.0.1', swarm(2))
    expect([countIn(swarm(1)), countIn(swarm(2))]).toEqual([200, 300])
  })

  it('are 1,000 of one swarm: who comes later is told of peers, and others are not told of it', () => {
    for (let n = 0; n < 1_001; n++) came(n, `10.0.${n % 4}.1`, swarm(1))
    expect(countIn(swarm(1))).toBe(1_000)
    expect(table.sample(swarm(1), id(1_000), 2_000)).toHaveLength(1_001)
  })

  it('are 20,000 in all: the address that has most makes room', () => {
    const swarms = Array.from({ length: 40 }, (_, n) => id(n))
    for (let n = 0; n < 20_000; n++) came(n, `10.1.${n % 40}.1`, swarms[n % 40]!)
    expect(swarms.map(countIn)).toEqual(new Array(40).fill(500))
    came(20_000, '10.2.0.1', id(40))
    expect(countIn(id(40))).toBe(1)
    expect(swarms.map(countIn).reduce((a, b) => a + b)).toBe(19_999)
  })
})
