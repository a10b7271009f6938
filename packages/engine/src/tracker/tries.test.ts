/**
 * Goal: whoever asks is tried by a few others at its own address, is answered once and soon, and can neither have others
 * dial elsewhere nor make anything grow.
 * Method: the state machine alone, on time that the test sets; then random events against what must always hold.
 */
import { createPrng, type PeerAddress } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TrackerTable } from './tracker-table.ts'
import { chooseTryPartners, TRY_LIMITS, Tries, type TryEffect } from './tries.ts'

const id = (n: number) => n.toString(16).padStart(40, '0')
const agent = (n: number, host = `10.0.0.${n}`): PeerAddress => ({
  peerId: id(n),
  host,
  port: 6001,
  role: 'agent',
})
const seeder: PeerAddress = { peerId: 'ee'.repeat(20), host: '10.0.0.99', port: 7001, role: 'seeder' }
const good = { outcome: 'reached', ms: 1 } as const
const ofKind = <K extends TryEffect['kind']>(effects: readonly TryEffect[], kind: K) =>
  effects.filter((effect): effect is Extract<TryEffect, { kind: K }> => effect.kind === kind)

describe('a round', () => {
  const ask = (tries: Tries, nowMs = 0, n = 1, partners = [agent(2), agent(3)], isOwnAddress = true) =>
    tries.step(nowMs, { kind: 'asked', asker: agent(n), id: 7, partners, isOwnAddress })

  test('the asker is told of the others, and each of them of its own address alone', () => {
    const effects = ask(new Tries({ seeder }))
    expect(ofKind(effects, 'tell-peers')).toEqual([
      { kind: 'tell-peers', asker: agent(1), id: 7, peers: [seeder, agent(2), agent(3)] },
    ])
    expect(ofKind(effects, 'dial').map(({ by, address }) => [by, address])).toEqual([
      [seeder, agent(1)],
      [agent(2), agent(1)],
      [agent(3), agent(1)],
    ])
  })

  test('ends with the last answer', () => {
    const tries = new Tries({ seeder })
    const dials = ofKind(ask(tries), 'dial')
    const told = dials.map(({ by, dial }) => tries.step(5, { kind: 'dialled', by: by.peerId, dial, ...good }))
    expect(told.map(({ length }) => length)).toEqual([0, 0, 1])
    expect(told[2]).toEqual([
      {
        kind: 'tell-tried',
        asker: id(1),
        id: 7,
        tries: dials.map(({ by }) => ({ peerId: by.peerId, ...good })),
      },
    ])
    expect(tries.roundCount).toBe(0)
  })

  test('ends when its time is up, with who has said so far, and later answers are for nobody', () => {
    const tries = new Tries({ seeder })
    const effects = ask(tries)
    const [first, second] = ofKind(effects, 'dial')
    tries.step(5, { kind: 'dialled', by: first!.by.peerId, dial: first!.dial, ...good })
    const { atMs } = ofKind(effects, 'set-timer')[0]!
    expect(tries.step(atMs - 1, { kind: 'timer' })).toEqual([{ kind: 'set-timer', atMs }])
    expect(tries.step(atMs, { kind: 'timer' })).toEqual([
      { kind: 'tell-tried', asker: id(1), id: 7, tries: [{ peerId: seeder.peerId, ...good }] },
    ])
    const late = { kind: 'dialled', by: second!.by.peerId, dial: second!.dial, ...good } as const
    expect(tries.step(atMs, late)).toEqual([])
  })

  test('of one that announced another address than its own: the seeder does not go there, and nobody tells why or when', () => {
    const tries = new Tries({ seeder })
    const effects = ask(tries, 0, 1, undefined, false)
    expect(ofKind(effects, 'tell-peers')[0]?.peers).toEqual([seeder, agent(2), agent(3)])
    const [first, second, ...more] = ofKind(effects, 'dial')
    expect(more).toEqual([])
    const answer = (one: typeof first, outcome: 'refused' | 'reached') =>
      tries.step(5, { kind: 'dialled', by: one!.by.peerId, dial: one!.dial, outcome, ms: 5 })
    expect([answer(first, 'refused'), answer(second, 'reached')]).toEqual([[], []])
    expect(ofKind(tries.step(TRY_LIMITS.roundMs, { kind: 'timer' }), 'tell-tried')[0]?.tries).toEqual([
      { peerId: id(2), outcome: 'unreached', ms: 0 },
      { peerId: id(3), outcome: 'reached', ms: 5 },
    ])
  })

  test('of such a one alone is over at once', () => {
    const tries = new Tries({ seeder })
    const effects = ask(tries, 0, 1, [], false)
    expect(effects.map(({ kind }) => kind)).toEqual(['tell-peers', 'tell-tried'])
    expect(tries.roundCount).toBe(0)
  })

  test('takes no answer twice, none from another agent, and none to what was not asked', () => {
    const tries = new Tries({ seeder })
    const [, second, third] = ofKind(ask(tries), 'dial')
    const dialled = (by: string, dial: number) => tries.step(5, { kind: 'dialled', by, dial, ...good })
    dialled(second!.by.peerId, second!.dial)
    dialled(second!.by.peerId, second!.dial)
    dialled(second!.by.peerId, third!.dial)
    dialled(id(1), third!.dial)
    dialled(id(9), 12_345)
    expect(ofKind(tries.step(10_000, { kind: 'timer' }), 'tell-tried')[0]?.tries).toHaveLength(1)
  })

  test('is forgotten with its asker', () => {
    const tries = new Tries({ seeder })
    const [first] = ofKind(ask(tries), 'dial')
    tries.step(1, { kind: 'agent-left', peerId: id(1) })
    expect(tries.roundCount).toBe(0)
    expect(tries.step(2, { kind: 'dialled', by: first!.by.peerId, dial: first!.dial, ...good })).toEqual([])
  })

  test('with nobody else is the seeder’s alone', () => {
    expect(ofKind(ask(new Tries({ seeder }), 0, 1, []), 'dial').map(({ by }) => by)).toEqual([seeder])
  })

  test('is refused while another of the same agent goes on, and for a while after', () => {
    const tries = new Tries({ seeder })
    const dials = ofKind(ask(tries), 'dial')
    const refused = [{ kind: 'refuse', asker: id(1), id: 7 }]
    expect(ask(tries, 10)).toEqual(refused)
    for (const { by, dial } of dials) tries.step(20, { kind: 'dialled', by: by.peerId, dial, ...good })
    expect(ask(tries, TRY_LIMITS.intervalMs - 1)).toEqual(refused)
    expect(ofKind(ask(tries, TRY_LIMITS.intervalMs), 'tell-peers')).toHaveLength(1)
  })

  test('is refused also to one who left and came again at once', () => {
    const tries = new Tries({ seeder })
    ask(tries)
    tries.step(1, { kind: 'agent-left', peerId: id(1) })
    expect(ofKind(ask(tries, 2), 'refuse')).toHaveLength(1)
  })

  test('is refused while as many go on as may', () => {
    const tries = new Tries({ seeder, limits: { ...TRY_LIMITS, roundsMax: 2 } })
    ask(tries, 0, 1)
    ask(tries, 0, 2)
    expect(ask(tries, 0, 3)).toEqual([{ kind: 'refuse', asker: id(3), id: 7 }])
    tries.step(TRY_LIMITS.roundMs, { kind: 'timer' })
    expect(ofKind(ask(tries, TRY_LIMITS.roundMs, 3), 'tell-peers')).toHaveLength(1)
  })

  test('whatever comes in whatever order: who asks is answered once, nothing is dialled but its address', () => {
    const event = fc.record({
      kind: fc.constantFrom('asked', 'dialled', 'agent-left', 'timer'),
      n: fc.integer({ min: 1, max: 6 }),
      dial: fc.integer({ min: 0, max: 60 }),
      waitMs: fc.integer({ min: 0, max: 2_000 }),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        const limits = { ...TRY_LIMITS, roundsMax: 3 }
        const tries = new Tries({ seeder, limits })
        let nowMs = 0
        let question = 0
        const open = new Map<number, string>()
        for (const { kind, n, dial, waitMs } of events) {
          nowMs += waitMs
          const effects =
            kind === 'asked'
              ? tries.step(nowMs, {
                  kind,
                  asker: agent(n),
                  id: question++,
                  partners: [agent(7), agent(8)],
                  isOwnAddress: n % 2 === 0,
                })
              : kind === 'dialled'
                ? tries.step(nowMs, { kind, by: n === 1 ? seeder.peerId : id(n + 5), dial, ...good })
                : kind === 'agent-left'
                  ? tries.step(nowMs, { kind, peerId: id(n) })
                  : tries.step(nowMs, { kind: 'timer' })
          if (kind === 'agent-left')
            for (const [number, asker] of open) if (asker === id(n)) open.delete(number)
          for (const effect of effects) {
            if (effect.kind === 'tell-peers') open.set(effect.id, effect.asker.peerId)
            if (effect.kind === 'dial') expect(effect.address).toEqual(agent(n))
            if (effect.kind === 'tell-tried') {
              expect(open.delete(effect.id)).toBe(true)
              expect(effect.tries.length).toBeLessThanOrEqual(3)
            }
          }
          expect(tries.roundCount).toBe(open.size)
          expect(tries.roundCount).toBeLessThanOrEqual(limits.roundsMax)
        }
        tries.step(nowMs + limits.roundMs, { kind: 'timer' })
        expect(tries.roundCount).toBe(0)
      }),
    )
  })
})

describe('who tries', () => {
  const entry = (n: number, zone: string, host?: string) => ({
    address: agent(n, host),
    zone,
    canTryPeers: true,
  })
  const asker = entry(1, 'a')
  const chosen = (others: Parameters<typeof chooseTryPartners>[1], countMax = 4) =>
    chooseTryPartners(asker, others, countMax).map(({ peerId }) => Number.parseInt(peerId, 16))

  test('by turns of the zone and from outside', () => {
    expect(chosen([entry(2, 'a'), entry(3, 'a'), entry(4, 'a'), entry(5, 'b'), entry(6, 'b')])).toEqual([
      2, 5, 3, 6,
    ])
    expect(chosen([entry(5, 'b'), entry(6, 'c'), entry(7, 'c')])).toEqual([5, 6, 7])
  })

  test('those on the same host last', () => {
    expect(chosen([entry(2, 'a', '10.0.0.1'), entry(3, 'b')])).toEqual([3, 2])
    expect(chosen([entry(2, 'a', '10.0.0.1'), entry(3, 'b')], 1)).toEqual([3])
  })

  test('not the asker, and nobody who does not know how', () => {
    expect(
      chosen([asker, { ...entry(2, 'a'), canTryPeers: false }, { address: agent(3), zone: 'a' }]),
    ).toEqual([])
  })

  test('from a large table as from a small one', () => {
    const table = new TrackerTable({ seeder, prng: createPrng(1) })
    expect(table.tryPartners(id(1), 4)).toEqual([])
    for (let n = 1; n <= 500; n++)
      table.step(0, { kind: 'agent-joined', agent: entry(n, n % 2 === 0 ? 'a' : 'b') })
    const partners = table.tryPartners(id(1), 4).map(({ peerId }) => Number.parseInt(peerId, 16))
    expect(partners).toHaveLength(4)
    expect(partners.filter((n) => n % 2 === 0)).toHaveLength(2)
  })
})
