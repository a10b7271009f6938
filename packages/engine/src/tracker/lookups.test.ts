/**
 * Goal: an info hash that nobody knows costs one look-up and little memory, whoever announces it how often; known ones are
 * found at once, and soon, whatever strangers announce. Method: announces by hand; a small origin played beside it; random
 * comings and goings against the bounds.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LOOKUP_LIMITS, type LookupEffect, type LookupEvent, type LookupLimits, Lookups } from './lookups.ts'

const hash = (n: number, of = 'a') => of + n.toString(16).padStart(39, '0')
const hashes = (count: number, of: string) => Array.from({ length: count }, (_, n) => hash(n, of))
const announced = (peerId: string, ip: string, infoHashes: readonly string[]): LookupEvent => ({
  kind: 'announced',
  peerId,
  ip,
  swarms: infoHashes.map((infoHash) => ({ infoHash, state: 'seeding' as const })),
})

/** An origin that answers every look-up at once: what begins with `k` is known. */
class Played {
  readonly lookups: Lookups
  readonly lookedUp: string[] = []
  readonly announces: string[] = []
  nowMs = 0
  fails = false
  constructor(limits: Partial<LookupLimits> = {}) {
    this.lookups = new Lookups({ ...LOOKUP_LIMITS, ...limits })
  }
  step(event: LookupEvent): void {
    const effects: LookupEffect[] = [...this.lookups.step(this.nowMs, event)]
    for (let effect = effects.shift(); effect !== undefined; effect = effects.shift()) {
      if (effect.kind === 'announce') this.announces.push(`${effect.peerId} ${effect.infoHash}`)
      else {
        this.lookedUp.push(effect.infoHash)
        const outcome = this.fails ? 'failed' : effect.infoHash.startsWith('k') ? 'known' : 'unknown'
        effects.push(
          ...this.lookups.step(this.nowMs, { kind: 'looked-up', infoHash: effect.infoHash, outcome }),
        )
      }
    }
  }
  ticks(seconds: number): void {
    for (let i = 0; i < seconds; i++) {
      this.nowMs += 1_000
      this.step({ kind: 'tick' })
    }
  }
}

describe('look-ups', () => {
  it('find what is known, once for all who announce it before it was found', () => {
    const lookups = new Lookups()
    const asked = lookups.step(0, announced('one', '10.0.0.1', [hash(1, 'k')]))
    expect(asked).toEqual([{ kind: 'look-up', infoHash: hash(1, 'k') }])
    expect(lookups.step(0, announced('two', '10.0.0.2', [hash(1, 'k')]))).toEqual([])
    const told = lookups.step(1, { kind: 'looked-up', infoHash: hash(1, 'k'), outcome: 'known' })
    expect(told.map((effect) => effect.kind === 'announce' && effect.peerId)).toEqual(['one', 'two'])
    expect([lookups.hashCount, lookups.announceCount]).toEqual([0, 0])
  })

  it('of 500 agents that say at once what they have are as many as there are blobs', () => {
    const lookups = new Lookups()
    const blobs = hashes(3_000, 'k')
    const underWay: string[] = []
    const announces = new Set<string>()
    const hear = (effects: readonly LookupEffect[]) => {
      for (const effect of effects)
        if (effect.kind === 'look-up') underWay.push(effect.infoHash)
        else announces.add(`${effect.peerId} ${effect.infoHash}`)
    }
    for (let agent = 0; agent < 500; agent++)
      hear(
        lookups.step(
          0,
          announced(`agent ${agent}`, `10.0.${agent >> 8}.${agent & 255}`, blobs.slice(0, 900)),
        ),
      )
    hear(lookups.step(0, announced('agent 0', '10.0.0.0', blobs)))
    for (const infoHash of underWay) hear(lookups.step(1, { kind: 'looked-up', infoHash, outcome: 'known' }))
    expect(underWay).toHaveLength(3_000)
    expect(announces.size).toBe(499 * 900 + 3_000)
  })

  it('that find nothing are few, by agent and by address, and leave little behind', () => {
    const played = new Played()
    for (let stream = 0; stream < 8; stream++)
      for (let frame = 0; frame < 20; frame++)
        played.step(
          announced(`liar ${stream}`, '10.0.0.66', hashes(1_000, `${stream}${frame % 10}${frame > 9}`)),
        )
    played.ticks(20)
    expect(played.lookedUp.length).toBeLessThan(3_500)
    expect(played.lookups.hashCount).toBeLessThanOrEqual(LOOKUP_LIMITS.hashesPerAddressMax)
    // Somebody else finds what is known at once.
    played.step(announced('honest', '10.0.0.1', hashes(1_000, 'k')))
    expect(played.announces).toHaveLength(1_000)
    for (let stream = 0; stream < 8; stream++) played.step({ kind: 'agent-left', peerId: `liar ${stream}` })
    played.ticks(60)
    expect([played.lookups.hashCount, played.lookups.announceCount]).toEqual([0, 0])
  })

  it('keep what came first when an address announces more than it has places for', () => {
    const misses = { ...LOOKUP_LIMITS.misses, perAgent: { perSecond: 1, atOnce: 1 } }
    const played = new Played({ misses, displacedPerAddress: { perSecond: 1, atOnce: 1_500 } })
    const liars = [...'abcdef78']
    for (let frame = 0; frame < 20; frame++)
      for (const liar of liars) {
        const more = hashes(1_000 * (frame + 1), liar).slice(1_000 * frame)
        played.step(announced(`liar ${liar}`, '10.0.0.66', more))
      }
    expect(played.lookups.hashCount).toBe(LOOKUP_LIMITS.hashesPerAddressMax)
    // Somebody honest at the same address has a share as well, and what is there is found for it.
    played.step(announced('honest', '10.0.0.66', hashes(500, 'k')))
    played.ticks(100)
    expect(played.announces).toHaveLength(500)
    // Who comes under ever new names takes no more from the others than the rate allows.
    for (let n = 0; n < 100; n++)
      played.step(announced(`again ${n}`, '10.0.0.66', hashes(1_000, `9${n.toString().padStart(3, '0')}`)))
    // If it comes after all, who announced it takes part.
    const takesPart = (infoHashes: readonly string[]) => {
      const before = played.announces.length
      for (const infoHash of infoHashes) played.step({ kind: 'appeared', infoHash })
      return played.announces.length - before
    }
    expect(takesPart(liars.flatMap((liar) => hashes(2_000, liar)))).toBeGreaterThan(8_192 - 1_500)
    expect(takesPart(liars.flatMap((liar) => hashes(5_000, liar).slice(3_000)))).toBe(0)
  })

  it('that find nothing are on a budget also if what they are for was forgotten for others meanwhile', () => {
    const lookups = new Lookups({ ...LOOKUP_LIMITS, hashesPerAddressMax: 64 })
    let lookedUp = 0
    for (let turn = 0; turn < 200; turn++) {
      const effects = lookups.step(turn, announced('liar', '10.0.0.66', hashes(100, `${turn}-`)))
      // More is announced, before the origin answers, than is remembered.
      lookups.step(turn, announced('liar', '10.0.0.66', hashes(100, `${turn}+`)))
      const underWay = [...effects]
      for (let effect = underWay.shift(); effect !== undefined; effect = underWay.shift()) {
        if (effect.kind !== 'look-up') continue
        lookedUp++
        const { infoHash } = effect
        underWay.push(...lookups.step(turn, { kind: 'looked-up', infoHash, outcome: 'unknown' }))
      }
    }
    const { atOnce } = LOOKUP_LIMITS.misses.perAgent
    expect(lookedUp).toBeLessThan(atOnce + 2 * LOOKUP_LIMITS.atOnceMax)
  })

  it('that somebody leaves and cannot wait for again are on his budget all the same', () => {
    const lookups = new Lookups({ ...LOOKUP_LIMITS, announcesPerAgentMax: 1 })
    let lookedUp = 0
    for (let turn = 0; turn < 2_000; turn++) {
      const infoHash = hash(turn)
      const asked = lookups.step(0, announced('liar', '10.0.0.66', [infoHash]))
      lookups.step(0, { kind: 'swarms-left', peerId: 'liar', infoHashes: [infoHash] })
      lookups.step(0, announced('liar', '10.0.0.66', [hash(turn, 'b'), infoHash]))
      lookups.step(0, { kind: 'swarms-left', peerId: 'liar', infoHashes: [hash(turn, 'b')] })
      if (asked.length === 0) continue
      lookedUp++
      for (const _ of asked) lookups.step(0, { kind: 'looked-up', infoHash, outcome: 'unknown' })
    }
    expect(lookedUp).toBeLessThan(LOOKUP_LIMITS.misses.perAgent.atOnce + 2 * LOOKUP_LIMITS.atOnceMax)
  })

  it('are not repeated for what was found not to be there, until a while has passed', () => {
    const played = new Played()
    played.step(announced('one', '10.0.0.1', [hash(1)]))
    played.step(announced('two', '10.0.0.2', [hash(1)]))
    expect(played.lookedUp).toHaveLength(1)
    expect(played.lookups.isUnknown(played.nowMs, hash(1))).toBe(true)
    played.nowMs += LOOKUP_LIMITS.unknownMs
    played.step(announced('two', '10.0.0.2', [hash(1)]))
    expect(played.lookedUp).toHaveLength(2)
  })

  it('take up what was announced before it was there when it appears', () => {
    const played = new Played()
    played.step(announced('one', '10.0.0.1', [hash(1)]))
    played.step(announced('two', '10.0.0.2', [hash(1)]))
    played.step(announced('gone', '10.0.0.3', [hash(1)]))
    played.step({ kind: 'swarms-left', peerId: 'two', infoHashes: [hash(1)] })
    played.step({ kind: 'agent-left', peerId: 'gone' })
    played.ticks(100)
    played.step({ kind: 'appeared', infoHash: hash(1) })
    expect(played.announces).toEqual([`one ${hash(1)}`])
    expect(played.lookups.hashCount).toBe(0)
  })

  it('go on for the others when who announced it first has left', () => {
    const played = new Played({ atOnceMax: 1 })
    const lookups = played.lookups
    lookups.step(0, announced('first', '10.0.0.1', [hash(0), hash(1, 'k')]))
    lookups.step(0, announced('second', '10.0.0.2', [hash(1, 'k')]))
    lookups.step(0, { kind: 'agent-left', peerId: 'first' })
    played.step({ kind: 'looked-up', infoHash: hash(0), outcome: 'unknown' })
    expect(played.announces).toEqual([`second ${hash(1, 'k')}`])
  })

  it('wait while the origin fails, and lose nothing', () => {
    const played = new Played()
    played.fails = true
    played.step(announced('one', '10.0.0.1', hashes(100, 'k')))
    expect(played.lookedUp.length).toBeLessThanOrEqual(LOOKUP_LIMITS.atOnceMax)
    played.fails = false
    played.ticks(1)
    expect(new Set(played.announces).size).toBe(100)
  })

  it('of who is no agent have the budget of their address', () => {
    const played = new Played()
    for (let n = 0; n < 2_000; n++) played.step({ kind: 'missed', ip: '10.0.0.9', infoHash: hash(n) })
    expect(played.lookups.mayAsk(0, '10.0.0.9')).toBe(false)
    expect(played.lookups.mayAsk(0, '10.0.0.8')).toBe(true)
    expect(played.lookups.isUnknown(0, hash(7))).toBe(true)
  })

  it('keep their bounds and their books whatever comes', () => {
    const limits = {
      hashesMax: 12,
      hashesPerAddressMax: 8,
      announcesMax: 20,
      announcesPerAddressMax: 12,
      announcesPerAgentMax: 6,
      atOnceMax: 2,
    }
    const agent = fc.nat({ max: 5 })
    const event = fc.oneof(
      fc.tuple(agent, fc.array(fc.nat({ max: 20 }), { maxLength: 9 })).map(([n, which]) =>
        announced(
          `agent ${n}`,
          `10.0.0.${n % 3}`,
          which.map((at) => hash(at, at % 3 === 0 ? 'k' : 'a')),
        ),
      ),
      agent.map((n): LookupEvent => ({ kind: 'agent-left', peerId: `agent ${n}` })),
      fc
        .tuple(agent, fc.nat({ max: 20 }))
        .map(
          ([n, at]): LookupEvent => ({ kind: 'swarms-left', peerId: `agent ${n}`, infoHashes: [hash(at)] }),
        ),
      fc.nat({ max: 20 }).map((at): LookupEvent => ({ kind: 'appeared', infoHash: hash(at) })),
      fc.constant<LookupEvent>({ kind: 'tick' }),
      fc.constant('answer' as const),
    )
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const lookups = new Lookups({ ...LOOKUP_LIMITS, ...limits })
        const underWay: string[] = []
        let nowMs = 0
        for (const next of events) {
          nowMs += 3_000
          const infoHash = underWay[0]
          if (next === 'answer' && infoHash === undefined) continue
          if (next === 'answer') underWay.shift()
          const outcome = infoHash?.startsWith('k') ? 'known' : 'unknown'
          const effects = lookups.step(
            nowMs,
            next === 'answer' ? { kind: 'looked-up', infoHash: infoHash!, outcome } : next,
          )
          for (const effect of effects) if (effect.kind === 'look-up') underWay.push(effect.infoHash)
          expect(underWay.length).toBeLessThanOrEqual(limits.atOnceMax)
          expect(lookups.hashCount).toBeLessThanOrEqual(limits.hashesMax)
          expect(lookups.announceCount).toBeLessThanOrEqual(limits.announcesMax)
        }
        for (let n = 0; n < 6; n++) lookups.step(nowMs, { kind: 'agent-left', peerId: `agent ${n}` })
        for (const infoHash of underWay)
          lookups.step(nowMs, { kind: 'looked-up', infoHash, outcome: 'unknown' })
        lookups.step(nowMs + 100_000, { kind: 'tick' })
        expect([lookups.hashCount, lookups.announceCount]).toEqual([0, 0])
      }),
      { numRuns: 1_000 },
    )
  })
})
