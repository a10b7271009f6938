/**
 * Goal: a pull asks the swarm first, turns to the seeder and the origin when that is silent, goes back to it, gives up in the end,
 * and tells the tracker what is so.
 * Method: the state machine alone, on time that the test sets; then random events against what must always hold, and a world in
 * which sources fail at random until the pull is over.
 */
import { Bitfield, createPrng, type PeerAddress, pieceCount } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NO_IMPORTS } from '../policy/handout.ts'
import { PULL_LIMITS } from './limits.ts'
import type { PullEffect, PullEvent } from './protocol.ts'
import { Pull } from './pull.ts'
import { LADDER_RULE } from './source-ladder.ts'

const KIB = 1024
const MIB = 1024 * KIB
const SHAPE = { length: 20 * MIB + 5, pieceLength: 64 * KIB }
const SHARE = { modulus: 3, remainders: [1] }
const peer = (n: number): PeerAddress => ({
  peerId: n.toString(16).padStart(40, '0'),
  host: `10.0.0.${n}`,
  port: 6001,
  role: 'agent',
})
const WANTED = { kind: 'wanted', peers: [], imports: undefined, hasOrigin: true, hasInline: false } as const
const NO_NEWS = { peers: [], imports: undefined }

function createPull(shape = SHAPE, have = new Bitfield(pieceCount(shape)), seed = 1) {
  const world = { have, readers: [] as number[], peersConnected: 0 }
  const pull = new Pull({
    peerId: peer(1).peerId,
    shape,
    prng: createPrng(seed),
    view: {
      have,
      readerPositions: () => world.readers,
      peersConnected: () => world.peersConnected,
    },
  })
  const step = (nowMs: number, event: PullEvent) => {
    const effects = pull.step(nowMs, event)
    pull.check()
    return effects
  }
  return { pull, world, step }
}

const kinds = (effects: readonly PullEffect[]) => effects.map(({ kind }) => kind)
const only = <K extends PullEffect['kind']>(effects: readonly PullEffect[], kind: K) => {
  const found = effects.filter((effect): effect is Extract<PullEffect, { kind: K }> => effect.kind === kind)
  expect(found).toHaveLength(1)
  return found[0]!
}

describe('a blob in the cache', () => {
  test('is seeded where it is whole, held where it is here in part, and not told of where nothing of it is', () => {
    const full = createPull(SHAPE, Bitfield.full(pieceCount(SHAPE)))
    const joined = (isComplete: boolean) => ({ kind: 'joined', isComplete, news: NO_NEWS }) as const
    expect(full.step(0, joined(true))).toEqual([{ kind: 'announce', state: 'seeding' }])
    expect(full.step(0, WANTED)).toEqual([])
    const part = createPull()
    part.world.have.set(3)
    expect(part.step(0, joined(false))).toEqual([{ kind: 'announce', state: 'holding' }])
    expect(createPull().step(0, joined(false))).toEqual([])
  })

  test('hears of its swarm what was said before it was joined, never of itself', () => {
    const { step } = createPull()
    const news = { peers: [peer(1), peer(2)], imports: SHARE }
    expect(step(0, { kind: 'joined', isComplete: false, news })).toEqual([
      { kind: 'set-imports', imports: SHARE },
      { kind: 'connect', peers: [peer(2)] },
    ])
  })
})

describe('a blob that is wanted', () => {
  test('is asked of the swarm, told to the tracker, and the ladder is climbed later', () => {
    const { step, pull } = createPull()
    expect(pull.isWanted).toBe(false)
    expect(step(100, { ...WANTED, peers: [peer(2)], imports: SHARE })).toEqual([
      { kind: 'announce', state: 'leeching' },
      { kind: 'download' },
      { kind: 'set-timer', atMs: 100 + LADDER_RULE.lonelyMs },
      { kind: 'set-imports', imports: SHARE },
      { kind: 'connect', peers: [peer(2)] },
    ])
    expect(pull.isWanted).toBe(true)
    // Wanted again, it has more peers, and goes on.
    expect(kinds(step(200, { ...WANTED, peers: [peer(3)], imports: NO_IMPORTS }))).toEqual(['connect'])
  })

  test('that came along with the answer is taken from there; where that is not right, it is asked of the swarm', () => {
    const small = { length: 100, pieceLength: 64 * KIB }
    const right = createPull(small)
    expect(kinds(right.step(0, { ...WANTED, hasInline: true }))).toEqual(['take-inline', 'connect'])
    right.world.have.set(0)
    expect(right.step(1, { kind: 'inline-ended' })).toEqual([])
    expect(right.step(2, { kind: 'completed' })).toEqual([{ kind: 'announce', state: 'seeding' }])
    const wrong = createPull(small)
    wrong.step(0, { ...WANTED, hasInline: true })
    expect(kinds(wrong.step(1, { kind: 'inline-ended' }))).toEqual(['announce', 'download', 'set-timer'])
  })

  test('keeps what the stream says of imports, whatever an older answer says, until the stream begins anew', () => {
    const { step } = createPull()
    step(0, { kind: 'imports-heard', imports: SHARE })
    expect(kinds(step(1, { ...WANTED, imports: NO_IMPORTS }))).not.toContain('set-imports')
    expect(step(2, { kind: 'stream-opened' })).toEqual([{ kind: 'set-imports', imports: NO_IMPORTS }])
  })

  test('that is left is told to the tracker, and nothing follows', () => {
    const { step } = createPull()
    step(0, WANTED)
    expect(step(1, { kind: 'left' })).toEqual([{ kind: 'announce-left' }])
    for (const event of [WANTED, { kind: 'timer' }, { kind: 'left' }, { kind: 'completed' }] as const)
      expect(step(60_000, event)).toEqual([])
  })
})

describe('a swarm that gives nothing', () => {
  test('has the seeder asked for the piece that a reader waits for and those behind it, as many as one request may bring', () => {
    const { step, world } = createPull()
    step(0, WANTED)
    world.readers = [7]
    world.have.set(7)
    world.have.set(9)
    const first = only(step(2_500, { kind: 'timer' }), 'fetch')
    expect(first).toEqual({ kind: 'fetch', from: 'seeder', pieceIndexes: [8] })
    world.have.set(8)
    const second = only(step(2_600, { kind: 'fetch-ended', isGood: true }), 'fetch')
    expect(second.pieceIndexes).toHaveLength(PULL_LIMITS.runBytesMax / SHAPE.pieceLength)
    expect([second.pieceIndexes[0], second.pieceIndexes.at(-1)]).toEqual([10, 137])
  })

  test('has its chance again after each request, as soon as it gives a byte', () => {
    const { step, world } = createPull()
    world.peersConnected = 2
    step(0, WANTED)
    expect(only(step(2_500, { kind: 'timer' }), 'set-timer').atMs).toBe(LADDER_RULE.stallMs)
    only(step(5_000, { kind: 'timer' }), 'fetch')
    step(5_400, { kind: 'bytes-received', from: 'seeder' })
    expect(step(5_500, { kind: 'bytes-received', from: 'peer' })).toEqual([])
    expect(step(5_600, { kind: 'fetch-ended', isGood: true })).toEqual([
      { kind: 'set-timer', atMs: 5_500 + LADDER_RULE.stallMs },
    ])
  })

  test('and a seeder that fails: the origin is asked meanwhile, where anybody said where it is', () => {
    for (const hasOrigin of [true, false]) {
      const { step } = createPull()
      step(0, { ...WANTED, hasOrigin })
      expect(only(step(2_500, { kind: 'timer' }), 'fetch').from).toBe('seeder')
      const effects = step(2_510, { kind: 'fetch-ended', isGood: false })
      if (hasOrigin) expect(only(effects, 'fetch').from).toBe('origin')
      else expect(effects).toEqual([{ kind: 'set-timer', atMs: 2_510 + LADDER_RULE.restMs }])
    }
  })

  test('nor does anybody else: it is given up after 20 s without a byte', () => {
    const { step } = createPull()
    step(0, { ...WANTED, hasOrigin: false })
    let atMs = 2_500
    let effects = step(atMs, { kind: 'timer' })
    while (kinds(effects)[0] !== 'give-up') {
      expect(atMs).toBeLessThan(LADDER_RULE.giveUpMs)
      if (kinds(effects)[0] === 'fetch') effects = step(atMs, { kind: 'fetch-ended', isGood: false })
      else {
        atMs = only(effects, 'set-timer').atMs
        effects = step(atMs, { kind: 'timer' })
      }
    }
    expect(atMs).toBe(LADDER_RULE.giveUpMs)
  })

  test('is not waited for over HTTP when it gave the rest first: the request is cut', () => {
    const { step, world } = createPull({ length: 100, pieceLength: 64 * KIB })
    step(0, WANTED)
    only(step(2_500, { kind: 'timer' }), 'fetch')
    world.have.set(0)
    expect(kinds(step(2_600, { kind: 'completed' }))).toEqual(['cancel-fetch', 'announce'])
    expect(step(2_700, { kind: 'fetch-ended', isGood: true })).toEqual([])
  })
})

describe('whatever happens', () => {
  const anyEvent: fc.Arbitrary<PullEvent> = fc.oneof(
    fc.record({
      kind: fc.constant('wanted' as const),
      peers: fc.constant([peer(1), peer(2)]),
      imports: fc.constantFrom(undefined, SHARE),
      hasOrigin: fc.boolean(),
      hasInline: fc.boolean(),
    }),
    fc.constantFrom<PullEvent>(
      { kind: 'inline-ended' },
      { kind: 'peers-heard', peers: [peer(3)] },
      { kind: 'imports-heard', imports: SHARE },
      { kind: 'stream-opened' },
      { kind: 'bytes-received', from: 'peer' },
      { kind: 'bytes-received', from: 'seeder' },
      { kind: 'bytes-received', from: 'origin' },
      { kind: 'fetch-ended', isGood: true },
      { kind: 'fetch-ended', isGood: false },
      { kind: 'left' },
      { kind: 'timer' },
    ),
  )

  test('one request is under way at most, of neighbouring pieces that are missing; nothing follows the end', () => {
    const happening = fc.record({ event: anyEvent, afterMs: fc.nat(8_000), pieces: fc.array(fc.nat(40)) })
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 60 }), fc.nat(4), (happenings, readers) => {
        const shape = { length: 41 * MIB, pieceLength: MIB }
        const { step, world } = createPull(shape)
        world.readers = Array.from({ length: readers }, (_, n) => n * 9)
        let [nowMs, isFetching, isOver] = [0, false, false]
        for (const { event, afterMs, pieces } of happenings) {
          nowMs += afterMs
          for (const index of pieces) world.have.set(index)
          world.peersConnected = pieces.length
          const effects = step(nowMs, event)
          if (isOver) expect(effects).toEqual([])
          if (event.kind === 'left') isOver = true
          if (event.kind === 'fetch-ended') isFetching = false
          for (const effect of effects) {
            if (effect.kind === 'connect') expect(effect.peers).not.toContainEqual(peer(1))
            if (effect.kind === 'set-timer') expect(effect.atMs).toBeGreaterThan(nowMs)
            if (effect.kind === 'cancel-fetch') isFetching = false
            if (effect.kind !== 'fetch') continue
            expect(isFetching).toBe(false)
            isFetching = true
            const [first] = effect.pieceIndexes
            expect(effect.pieceIndexes).toEqual(effect.pieceIndexes.map((_, at) => first! + at))
            for (const index of effect.pieceIndexes) expect(world.have.has(index)).toBe(false)
            expect(effect.pieceIndexes.length).toBeLessThanOrEqual(PULL_LIMITS.runBytesMax / MIB)
          }
        }
      }),
    )
  })

  test('a pull ends, complete or given up, as long as requests end', () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(100), fc.boolean(), (seed, goodInHundred, hasOrigin) => {
        const { step, world } = createPull({ length: 41 * MIB, pieceLength: MIB }, undefined, seed)
        const prng = createPrng(seed)
        let nowMs = 0
        let effects = step(nowMs, { ...WANTED, hasOrigin })
        for (let turns = 0; !world.have.isFull && !kinds(effects).includes('give-up'); turns++) {
          expect(turns).toBeLessThan(1_000)
          const fetch = effects.find((effect) => effect.kind === 'fetch')
          if (fetch === undefined) {
            nowMs = Math.ceil(only(effects, 'set-timer').atMs)
            effects = step(nowMs, { kind: 'timer' })
            continue
          }
          nowMs += prng.below(1_000)
          const isGood = prng.below(100) < goodInHundred
          if (isGood) {
            step(nowMs, { kind: 'bytes-received', from: fetch.from })
            for (const index of fetch.pieceIndexes) world.have.set(index)
          }
          effects = step(nowMs, { kind: 'fetch-ended', isGood })
        }
        if (!world.have.isFull) return
        expect(step(nowMs, { kind: 'completed' })).toEqual([{ kind: 'announce', state: 'seeding' }])
      }),
    )
  })
})
