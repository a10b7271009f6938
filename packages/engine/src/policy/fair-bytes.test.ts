/** Goal: memory is bounded for all and for each address, and who holds little keeps it. Method: a model beside it. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FairBytes } from './fair-bytes.ts'

describe('bytes that are shared', () => {
  it('take from the largest at an address that has too much, not from others', () => {
    const bytes = new FairBytes<{ n: number }>({ bytesMax: 100, bytesPerAddressMax: 60 })
    const [small, large, other] = [{ n: 1 }, { n: 2 }, { n: 3 }]
    expect(bytes.holds('10.0.0.1', small, 20)).toEqual([])
    expect(bytes.holds('10.0.0.1', large, 40)).toEqual([])
    expect(bytes.holds('10.0.0.2', other, 35)).toEqual([])
    expect(bytes.holds('10.0.0.1', small, 25)).toEqual([large])
    expect(bytes.bytes).toBe(60)
  })

  it('take from the address that has most when all have too much together', () => {
    const bytes = new FairBytes<{ n: number }>({ bytesMax: 100, bytesPerAddressMax: 60 })
    const [greedy, honest] = [{ n: 1 }, { n: 2 }]
    bytes.holds('10.0.0.1', greedy, 60)
    expect(bytes.holds('10.0.0.2', honest, 41)).toEqual([greedy])
    expect(bytes.bytes).toBe(41)
  })

  it('are counted right whatever comes', () => {
    const change = fc.tuple(fc.nat({ max: 5 }), fc.nat({ max: 3 }), fc.nat({ max: 50 }))
    fc.assert(
      fc.property(fc.array(change), (changes) => {
        const bytes = new FairBytes<{ n: number }>({ bytesMax: 100, bytesPerAddressMax: 60 })
        const holders = Array.from({ length: 6 }, (_, n) => ({ n }))
        const model = new Map<object, number>()
        for (const [n, , amount] of changes) {
          model.set(holders[n]!, amount)
          for (const loser of bytes.holds(`10.0.0.${n % 3}`, holders[n]!, amount)) model.delete(loser)
          expect(bytes.bytes).toBe([...model.values()].reduce((sum, held) => sum + held, 0))
          expect(bytes.bytes).toBeLessThanOrEqual(100)
        }
      }),
    )
  })
})
