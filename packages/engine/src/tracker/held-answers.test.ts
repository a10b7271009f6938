/**
 * Goal: an announce is answered when the seeder can serve, or soon all the same; each once; and nobody can have more wait than
 * his share.
 * Method: the state machine alone, on time that the test sets; then random events against what must always hold.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  HELD_ANSWERS_LIMITS,
  HeldAnswers,
  type HeldAnswersEffect,
  type HeldAnswersEvent,
} from './held-answers.ts'

const asked = (id: number, infoHash = 'a', ip = '10.0.0.1'): HeldAnswersEvent => ({
  kind: 'asked',
  id,
  ip,
  infoHash,
})
const answers = (effects: readonly HeldAnswersEffect[]) => effects.filter(({ kind }) => kind === 'answer')
const limits = { heldMax: 4, heldPerAddressMax: 2, holdMs: 2_000 }

describe('an answer', () => {
  test('waits for the join of its swarm, which is begun once', () => {
    const held = new HeldAnswers()
    expect(held.step(0, asked(1))).toEqual([
      { kind: 'set-timer', atMs: 2_000 },
      { kind: 'join', infoHash: 'a' },
    ])
    expect(held.step(10, asked(2))).toEqual([])
    expect(held.step(20, asked(3, 'b'))).toEqual([{ kind: 'join', infoHash: 'b' }])
    expect(held.step(30, { kind: 'joined', infoHash: 'a', isServed: true })).toEqual([
      { kind: 'answer', id: 1, isServed: true },
      { kind: 'answer', id: 2, isServed: true },
    ])
    expect(held.heldCount).toBe(1)
  })

  test('does not wait for ever: it goes without the seeder, and the next one does not begin the join again', () => {
    const held = new HeldAnswers()
    held.step(0, asked(1))
    held.step(500, asked(2))
    expect(held.step(2_000, { kind: 'timer' })).toEqual([
      { kind: 'answer', id: 1, isServed: false },
      { kind: 'set-timer', atMs: 2_500 },
    ])
    expect(held.step(2_500, { kind: 'timer' })).toEqual([{ kind: 'answer', id: 2, isServed: false }])
    expect(held.step(2_600, asked(3))).toEqual([{ kind: 'set-timer', atMs: 4_600 }])
    expect(held.step(2_700, { kind: 'joined', infoHash: 'a', isServed: true })).toEqual([
      { kind: 'answer', id: 3, isServed: true },
    ])
  })

  test('goes without the seeder when that cannot join', () => {
    const held = new HeldAnswers()
    held.step(0, asked(1))
    expect(held.step(1, { kind: 'joined', infoHash: 'a', isServed: false })).toEqual([
      { kind: 'answer', id: 1, isServed: false },
    ])
    expect(held.step(2, asked(2))).toContainEqual({ kind: 'join', infoHash: 'a' })
  })

  test('is forgotten with who waited for it', () => {
    const held = new HeldAnswers()
    held.step(0, asked(1))
    held.step(1, { kind: 'gone', id: 1 })
    expect(held.heldCount).toBe(0)
    expect(held.step(2, { kind: 'joined', infoHash: 'a', isServed: true })).toEqual([])
  })

  test('beyond an address’s share, or everybody’s, goes at once', () => {
    const held = new HeldAnswers({ limits })
    const at = (id: number, ip: string) => answers(held.step(0, asked(id, 'a', ip)))
    expect([at(1, '10.0.0.1'), at(2, '10.0.0.1')]).toEqual([[], []])
    expect(at(3, '10.0.0.1')).toEqual([{ kind: 'answer', id: 3, isServed: false }])
    expect([at(4, '10.0.0.2'), at(5, '10.0.0.3')]).toEqual([[], []])
    expect(at(6, '10.0.0.4')).toEqual([{ kind: 'answer', id: 6, isServed: false }])
  })

  test('has limits that leave room for others', () => {
    const { heldMax, heldPerAddressMax } = HELD_ANSWERS_LIMITS
    expect(heldPerAddressMax).toBeLessThan(heldMax)
  })
})

test('whatever happens, each is answered once at most, and nothing waits longer than it may', () => {
  const event = fc.oneof(
    fc.record({
      kind: fc.constant('asked' as const),
      ip: fc.integer({ min: 1, max: 3 }),
      infoHash: fc.constantFrom('a', 'b'),
    }),
    fc.record({
      kind: fc.constant('joined' as const),
      infoHash: fc.constantFrom('a', 'b'),
      isServed: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('gone' as const), id: fc.integer({ min: 1, max: 20 }) }),
    fc.record({ kind: fc.constant('timer' as const) }),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 900 }), event), { maxLength: 60 }), (steps) => {
      const held = new HeldAnswers({ limits })
      const waiting = new Map<number, number>()
      let [nowMs, lastId] = [0, 0]
      let timerAtMs: number | undefined
      const run = (given: HeldAnswersEvent) => {
        for (const effect of held.step(nowMs, given)) {
          if (effect.kind === 'answer') expect(waiting.delete(effect.id)).toBe(true)
          if (effect.kind === 'set-timer') timerAtMs = effect.atMs
        }
      }
      for (const [pauseMs, given] of steps) {
        nowMs += pauseMs
        while (timerAtMs !== undefined && timerAtMs <= nowMs) {
          timerAtMs = undefined
          run({ kind: 'timer' })
        }
        if (given.kind === 'asked') {
          waiting.set(++lastId, nowMs)
          run({ ...given, ip: `10.0.0.${given.ip}`, id: lastId })
        } else {
          if (given.kind === 'gone') waiting.delete(given.id)
          run(given)
        }
        expect(held.heldCount).toBe(waiting.size)
        expect(held.heldCount).toBeLessThanOrEqual(limits.heldMax)
        for (const sinceMs of waiting.values()) expect(nowMs - sinceMs).toBeLessThan(limits.holdMs)
      }
    }),
  )
})
