import { describe, expect, it } from 'vitest'
import { afterFailure, HEALTHY, LADDER_RULE, type LadderState, nextStep } from './source-ladder.ts'

// Goal: peers while they give, then the seeder, then the origin, then back. Method: one download's clock, told as a story.
const fresh: LadderState = {
  startedAtMs: 0,
  peerBytesAtMs: 0,
  anyBytesAtMs: 0,
  peersConnected: 3,
  // The first of its crowd.
  chance: 1 / LADDER_RULE.crowdMax,
  seeder: HEALTHY,
  origin: undefined,
}
const { stallMs, lonelyMs, restMs, restMaxMs, giveUpMs } = LADDER_RULE

describe('nextStep', () => {
  it('waits for peers as long as they give', () => {
    expect(nextStep(stallMs - 1, fresh)).toEqual({ kind: 'wait', untilMs: stallMs })
    expect(nextStep(stallMs + 10, { ...fresh, peerBytesAtMs: 20 })).toEqual({
      kind: 'wait',
      untilMs: stallMs + 20,
    })
  })

  it('turns to the seeder when peers are silent, and sooner when there are none', () => {
    expect(nextStep(stallMs, fresh)).toEqual({ kind: 'fetch', from: 'seeder' })
    expect(nextStep(lonelyMs, { ...fresh, peersConnected: 0 })).toEqual({ kind: 'fetch', from: 'seeder' })
  })

  it('turns to the origin when the seeder failed, and to the seeder again after its rest', () => {
    const failed = { ...fresh, origin: HEALTHY, seeder: afterFailure(HEALTHY, stallMs) }
    expect(nextStep(stallMs, failed)).toEqual({ kind: 'fetch', from: 'origin' })
    expect(nextStep(stallMs + restMs, failed)).toEqual({ kind: 'fetch', from: 'seeder' })
  })

  it('has few of a crowd turn to the origin at first, however large it is, and a lone download at once', () => {
    for (const size of [10, 500, 10_000]) {
      const seeder = afterFailure(HEALTHY, stallMs)
      const delays = Array.from({ length: size }, (_, n) => {
        // Those that come to the seeder again meanwhile find it dead.
        let dead = seeder
        let nowMs = stallMs
        for (;;) {
          const step = nextStep(nowMs, { ...fresh, origin: HEALTHY, seeder: dead, chance: (n + 1) / size })
          if (step.kind === 'wait') nowMs = step.untilMs
          else if (step.kind === 'fetch' && step.from === 'seeder') dead = afterFailure(dead, nowMs)
          else return nowMs - stallMs
        }
      }).sort((a, b) => a - b)
      const first = delays[0]!
      expect(delays.filter((ms) => ms < first + 100).length).toBeLessThanOrEqual(Math.max(3, size / 100))
      expect(delays.at(-1)).toBeLessThanOrEqual(LADDER_RULE.originSpreadMs)
    }
    const alone = {
      ...fresh,
      peersConnected: 0,
      chance: 1,
      origin: HEALTHY,
      seeder: afterFailure(HEALTHY, lonelyMs),
    }
    expect(nextStep(lonelyMs, alone)).toEqual({ kind: 'fetch', from: 'origin' })
  })

  it('rests longer after each failure, up to a limit', () => {
    let seeder = HEALTHY
    const rests: number[] = []
    for (let failures = 0; failures < 8; failures++) {
      seeder = afterFailure(seeder, stallMs)
      const step = nextStep(stallMs, { ...fresh, seeder })
      rests.push(step.kind === 'wait' ? step.untilMs - stallMs : -1)
    }
    expect(rests).toEqual([restMs, 1_000, 2_000, 4_000, 8_000, restMaxMs, restMaxMs, restMaxMs])
  })

  it('goes back to the peers as soon as one gives a byte', () => {
    const now = 10 * stallMs
    expect(nextStep(now, { ...fresh, peerBytesAtMs: now, anyBytesAtMs: now }).kind).toBe('wait')
  })

  it('gives up when nothing has come from anywhere for long', () => {
    const seeder = afterFailure(HEALTHY, giveUpMs - 1)
    expect(nextStep(giveUpMs - 1, { ...fresh, seeder })).toEqual({ kind: 'wait', untilMs: giveUpMs })
    expect(nextStep(giveUpMs, { ...fresh, seeder })).toEqual({ kind: 'give-up' })
  })
})
