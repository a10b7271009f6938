import { describe, expect, it } from 'vitest'
import { ARRIVAL_RULE, arrivalStep, type WantedPiece } from './arrival-ladder.ts'

// Goal: the seeder is asked for what will not come by itself, and for nothing else. Method: one arrival of 100 pieces, of which the
// seeder has the first ten, and three from 50 on that somebody else waited for.
const { nextMs, stallMs } = ARRIVAL_RULE
const isKnown = (index: number) => index < 10 || (index >= 50 && index < 53)

function step(pieceIndex: number, at: Partial<WantedPiece> & { nowMs?: number } = {}) {
  const { nowMs = 0, ...more } = at
  return arrivalStep(nowMs, {
    pieceIndex,
    pieceCount: 100,
    isKnown,
    firstUnknown: 10,
    wantedAtMs: 0,
    swarmBytesAtMs: nowMs,
    isNudged: false,
    ...more,
  })
}

describe('a reader of a blob on its way', () => {
  it.each([
    ['a piece that the seeder has is waited for: it comes from peers', 3, {}, 'wait'],
    ['so is what the seeder receives next, for however long', 10, { nowMs: 600_000 }, 'wait'],
    ['a piece far ahead is fetched first, at once', 30, {}, 'nudge'],
    ['once', 30, { isNudged: true, nowMs: 600_000 }, 'wait'],
    ['behind one that was fetched first the next one follows', 53, { nowMs: nextMs - 1 }, 'wait'],
    ['unless it does not', 53, { nowMs: nextMs }, 'nudge'],
    ['the last piece comes when the whole was confirmed, and not before', 99, { nowMs: 600_000 }, 'wait'],
    [
      'a piece that the swarm does not give is had over HTTP',
      3,
      { nowMs: stallMs, swarmBytesAtMs: 0 },
      'fetch',
    ],
    ['not while the swarm gives others', 3, { nowMs: stallMs, swarmBytesAtMs: 1 }, 'wait'],
  ] as const)('%s', (_what, pieceIndex, at, expected) => {
    expect(step(pieceIndex, at)).toBe(expected)
  })

  it('of a blob of one piece waits for the whole', () => {
    expect(step(0, { pieceCount: 1, firstUnknown: 0, isKnown: () => false, nowMs: 600_000 })).toBe('wait')
  })
})
