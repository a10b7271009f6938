/**
 * Goal: every strategy brings the image to everybody it can, Shoal in little more than the least time possible, and a run is
 * its seed. Method: small clusters with every fault; Shoal's checkers look at every step of the smallest and at samples of
 * the others. The figures for hundreds and thousands of nodes are in docs/fan-out.md.
 */
import { describe, expect, it } from 'vitest'
import { planNodes } from './plan.ts'
import { boundSeconds, DEFAULT_SCENARIO, imageBytes, type Scenario, STRATEGIES } from './scenario.ts'
import { replayShoal } from './shoal/shoal.ts'
import { simulate } from './simulate.ts'
import type { NodeStep } from './simulation.ts'
import type { StrategyRun } from './strategy-run.ts'

const MIB = 1024 * 1024
const scenarioOf = (more: Partial<Scenario>): Scenario => ({
  ...DEFAULT_SCENARIO,
  nodes: 40,
  layers: [32 * MIB],
  linkBytesPerSecond: 1.25e8,
  seederLinkBytesPerSecond: 1.25e8,
  ...more,
})
const run = (more: Partial<Scenario>, strategy: (typeof STRATEGIES)[number] = 'shoal') =>
  simulate(scenarioOf(more), strategy, () => {})
const lastOver = (result: StrategyRun, more: Partial<Scenario> = {}) =>
  result.finishSeconds.at(-1)! / boundSeconds(scenarioOf(more))

describe('Shoal, simulated', () => {
  it('brings an image to forty nodes in little more than the time for one, and sends nothing twice', () => {
    const result = run({})
    expect(result.finishSeconds).toHaveLength(40)
    expect(lastOver(result)).toBeLessThan(1.2)
    expect(result.swarmSentBytes).toBeLessThan(1.02 * 40 * 32 * MIB)
    expect(result.originBytes).toBe(0)
  })

  it('is the same run with the same seed, and another with another', () => {
    const [one, again, other] = [5, 5, 6].map((seed) => run({ seed, nodes: 12 }))
    expect(one).toEqual(again)
    expect(one!.finishSeconds).not.toEqual(other!.finishSeconds)
  })

  it('can be replayed step by step, the same steps each time', () => {
    const scenario = scenarioOf({ nodes: 4, layers: [MIB], seed: 7, dying: 0.25 })
    const replay = () => {
      const steps: NodeStep[] = []
      return { result: replayShoal(scenario, (step) => steps.push(step)), steps }
    }
    const [first, second] = [replay(), replay()]
    expect(first.steps).toEqual(second.steps)
    expect(first.result).toEqual(simulate(scenario, 'shoal', () => {}))
    const ofOne = first.steps.filter(({ node }) => node === 'node-0')
    expect(ofOne[0]!.event.kind).toBe('swarm-joined')
    expect(ofOne.flatMap(({ effects }) => effects).map(({ kind }) => kind)).toContain('request')
  })

  it('keeps every promise after every step of a small swarm, whatever happens to its nodes', () => {
    for (let seed = 1; seed <= 6; seed++) {
      const result = run({
        seed,
        nodes: 12,
        layers: [3 * MIB, 200_000, 20_000],
        dying: 0.2,
        blackHoles: 0.1,
        slow: { share: 0.2, factor: 0.2 },
        zones: { ...DEFAULT_SCENARIO.zones, count: seed % 3 === 0 ? 3 : 1 },
      })
      expect(result.unfinished).toBe(0)
    }
  })

  it.each<[string, Partial<Scenario>]>([
    ['nodes that come over time', { arrivals: { kind: 'over', seconds: 0.5 } }],
    ['a rolling update', { arrivals: { kind: 'waves', share: 0.2 } }],
    ['many layers', { layers: [100_000, 20_000, 5 * MIB, MIB, 300_000, 9 * MIB, 2 * MIB] }],
    ['slow nodes', { slow: { share: 0.1, factor: 0.1 } }],
    ['black holes', { blackHoles: 0.1 }],
    ['a slow disk', { diskBytesPerSecond: 6e7 }],
    ['narrow gates between zones', { zones: { count: 3, crossBytesPerSecond: 2e8, crossLatencyMs: 1 } }],
  ])('brings it to everybody in spite of %s', (_what, more) => {
    const result = run(more)
    expect(result.unfinished).toBe(0)
    expect(result.finishSeconds).toHaveLength(40)
  })

  it('brings it to those who survive', () => {
    const result = run({ dying: 0.2 })
    expect(result.unfinished).toBe(0)
    expect(result.finishSeconds.length).toBeGreaterThanOrEqual(32)
  })

  it('goes on at the origin when the seeder dies, and reads it about once', () => {
    const result = run({ seederDiesAt: 0.3 })
    expect(result.unfinished).toBe(0)
    expect(result.originBytes).toBeGreaterThan(0)
    expect(result.originBytes).toBeLessThan(1.5 * 32 * MIB)
  })

  it('reads a cold origin once, in requests that do not grow with the nodes', () => {
    const [few, many] = [run({ coldOrigin: true, nodes: 10 }), run({ coldOrigin: true })]
    expect(many.unfinished).toBe(0)
    expect(many.originBytes).toBe(32 * MIB)
    expect(many.originRequests).toBe(few.originRequests)
  })

  it('has a zone import the image little more than once', () => {
    const result = run({ nodes: 90, zones: { ...DEFAULT_SCENARIO.zones, count: 3 } })
    // Where news of shares is lost that comes before a swarm is joined, two zones import 1.3 and 1.5 images.
    for (const bytes of result.crossZoneBytes) expect(bytes).toBeLessThan(1.1 * 32 * MIB)
  })
})

describe('what it is compared with', () => {
  it('is, for the registry alone, as many bounds as nodes', () => {
    expect(lastOver(run({}, 'registry'))).toBeCloseTo(40, 0)
  })

  it('is, for a binary tree, two bounds and a piece for each of its levels', () => {
    const over = lastOver(run({}, 'tree'))
    expect(over).toBeGreaterThan(2)
    expect(over).toBeLessThan(2.3)
  })

  it.each(STRATEGIES)('%s brings all bytes to everybody, the same with the same seed', (strategy) => {
    const more = { nodes: 15, layers: [6 * MIB, 9 * MIB] }
    const result = run(more, strategy)
    expect(result.unfinished).toBe(0)
    const last = result.timeline.at(-1)!
    const received = last.peerBytes + last.seederBytes + last.originBytes
    expect(received).toBeGreaterThanOrEqual(15 * imageBytes(scenarioOf(more)))
    expect(run(more, strategy)).toEqual(result)
  })

  it.each(STRATEGIES)('%s ends, whoever dies', (strategy) => {
    const result = run({ nodes: 15, layers: [6 * MIB], dying: 0.3, seederDiesAt: 0.5 }, strategy)
    expect(result.finishSeconds.length + result.unfinished).toBeLessThanOrEqual(15)
  })
})

describe('a plan', () => {
  it('has as many slow, dying and black-holed nodes as it should, and deaths spread over the bound', () => {
    const scenario = scenarioOf({
      nodes: 1000,
      dying: 0.3,
      blackHoles: 0.1,
      slow: { share: 0.05, factor: 0.1 },
    })
    const plans = planNodes(scenario)
    const dying = plans.flatMap(({ diesAtMs }) => diesAtMs ?? [])
    expect(dying).toHaveLength(300)
    expect(plans.filter(({ isBlackHole }) => isBlackHole)).toHaveLength(100)
    expect(plans.filter(({ linkBytesPerMs }) => linkBytesPerMs < 1e5)).toHaveLength(50)
    const boundMs = boundSeconds(scenario) * 1000
    const early = dying.filter((ms) => ms < boundMs / 2).length
    expect(early).toBeGreaterThan(110)
    expect(early).toBeLessThan(190)
  })

  it('has waves of one size, and arrivals spread evenly', () => {
    const waves = planNodes(scenarioOf({ nodes: 100, arrivals: { kind: 'waves', share: 0.2 } }))
    for (let wave = 0; wave < 5; wave++) expect(waves.filter((plan) => plan.wave === wave)).toHaveLength(20)
    const arrivals = planNodes(scenarioOf({ nodes: 1000, arrivals: { kind: 'over', seconds: 10 } }))
    const early = arrivals.filter(({ startMs }) => startMs! < 5_000).length
    expect(early).toBeGreaterThan(430)
    expect(early).toBeLessThan(570)
  })
})
