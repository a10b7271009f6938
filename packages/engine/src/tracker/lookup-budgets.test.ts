/**
 * Goal: look-ups that find nothing are held to a budget: of a stream, of an address, and of all together.
 * Method: agents that announce nothing but what nobody knows; an origin that says so at once.
 */
import { beforeEach, expect, it } from 'vitest'
import { LOOKUP_LIMITS, type LookupEffect, type LookupEvent, Lookups } from './lookups.ts'

/** Those under way when a budget ends are answered yet. */
const UNDER_WAY = LOOKUP_LIMITS.atOnceMax

let lookups: Lookups
let nowMs: number
let count: number
beforeEach(() => {
  lookups = new Lookups()
  nowMs = 0
  count = 0
})

function step(event: LookupEvent): void {
  const effects: LookupEffect[] = [...lookups.step(nowMs, event)]
  for (let effect = effects.shift(); effect !== undefined; effect = effects.shift()) {
    if (effect.kind !== 'look-up') continue
    count++
    effects.push(...lookups.step(nowMs, { kind: 'looked-up', infoHash: effect.infoHash, outcome: 'unknown' }))
  }
}

/** One agent announces so many swarms that are not here. */
function announces(agent: number, ip: string, swarmCount: number): void {
  const swarms = Array.from({ length: swarmCount }, (_, n) => ({
    infoHash: `${agent.toString(16).padStart(20, '0')}${n.toString(16).padStart(20, '0')}`,
    state: 'seeding' as const,
  }))
  step({ kind: 'announced', peerId: `${agent}`, ip, swarms })
}

function later(seconds: number): void {
  for (let second = 0; second < seconds; second++) {
    nowMs += 1_000
    step({ kind: 'tick' })
  }
}

/** So many look-ups since the last time, and hardly more. */
function expectAbout(expected: number): void {
  expect(count).toBeGreaterThanOrEqual(expected - UNDER_WAY)
  expect(count).toBeLessThanOrEqual(expected + UNDER_WAY)
  count = 0
}

it('a stream has 500 at once, then 10 in a second', () => {
  announces(1, '10.0.0.1', 2_000)
  expectAbout(500)
  later(20)
  expectAbout(200)
})

it('an address has 2,000 at once, then 50 in a second', () => {
  for (let agent = 0; agent < 8; agent++) announces(agent, '10.0.0.1', 1_000)
  expectAbout(2_000)
  later(20)
  expectAbout(1_000)
})

it('all have 8,000 at once, then 200 in a second', () => {
  for (let agent = 0; agent < 30; agent++) announces(agent, `10.0.${agent % 6}.1`, 1_000)
  expectAbout(8_000)
  later(20)
  expectAbout(4_000)
})
