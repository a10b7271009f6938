import { parseDigest } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chooseVictims } from './eviction.ts'

const candidates = fc
  .array(
    fc.record({ bytes: fc.nat({ max: 100 }), lastUsedAtMs: fc.nat({ max: 10 }), isBusy: fc.boolean() }),
    { maxLength: 20 },
  )
  .map((list) =>
    list.map((candidate, i) => ({
      ...candidate,
      digest: parseDigest(`sha256:${i.toString(16).padStart(64, '0')}`),
    })),
  )

describe('chooseVictims', () => {
  it('makes room, never at the cost of what is busy or was used later', () => {
    fc.assert(
      fc.property(candidates, fc.nat({ max: 1_000 }), (given, bytesMax) => {
        const victims = new Set(chooseVictims(given, bytesMax))
        const kept = given.filter(({ digest }) => !victims.has(digest))
        const gone = given.filter(({ digest }) => victims.has(digest))
        const keptBytes = kept.reduce((sum, { bytes }) => sum + bytes, 0)
        expect(gone.every(({ isBusy }) => !isBusy)).toBe(true)
        expect(keptBytes <= bytesMax || kept.every(({ isBusy }) => isBusy)).toBe(true)
        for (const victim of gone) {
          for (const other of kept)
            if (!other.isBusy) expect(victim.lastUsedAtMs).toBeLessThanOrEqual(other.lastUsedAtMs)
        }
      }),
    )
  })

  it('removes nothing while there is room', () => {
    const [one] = [
      { digest: parseDigest(`sha256:${'a'.repeat(64)}`), bytes: 5, lastUsedAtMs: 0, isBusy: false },
    ]
    expect(chooseVictims([one!], 5)).toEqual([])
    expect(chooseVictims([one!], 4)).toEqual([one!.digest])
  })
})
