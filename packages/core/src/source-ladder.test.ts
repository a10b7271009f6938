import { describe, expect, it } from 'vitest'
import { afterFailure, HEALTHY, LADDER_RULE, type LadderState, nextStep } from './source-ladder.ts'

// Goal: peers while they give, then the seeder, then the origin, then back. Method: one download's clock, told as a story.
const fresh: LadderState = {
  startedAtMs: 0,
  peerBytesAtMs: 0,
  anyBytesAtMs: 0,
  peersConnected: 3,
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
