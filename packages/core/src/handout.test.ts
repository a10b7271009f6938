import { describe, expect, it } from 'vitest'
import { chooseNeighbours, HANDOUT_RULE, type HandoutCandidate } from './handout.ts'
import { createPrng } from './prng.ts'

const candidate = (id: string, zone = '', degree = 0): HandoutCandidate => ({ id, zone, degree })

describe('chooseNeighbours', () => {
  it('takes those with the fewest neighbours first, so that degrees stay even', () => {
    const candidates = [
      candidate('a', '', 5),
      candidate('b', '', 1),
      candidate('c', '', 0),
      candidate('d', '', 9),
    ]
    expect(chooseNeighbours({ zone: '' }, candidates, 2, HANDOUT_RULE, createPrng(1))).toEqual(['c', 'b'])
  })

  it('stays in the zone but for a few outside', () => {
    const candidates = [
      ...Array.from({ length: 20 }, (_, i) => candidate(`in${i}`, 'a')),
      ...Array.from({ length: 20 }, (_, i) => candidate(`out${i}`, 'b')),
    ]
    const chosen = chooseNeighbours({ zone: 'a' }, candidates, 8, HANDOUT_RULE, createPrng(7))
    expect(chosen).toHaveLength(8)
    expect(chosen.filter((id) => id.startsWith('out'))).toHaveLength(HANDOUT_RULE.outsideZoneAim)
  })

  it('fills up from outside where the own zone is small', () => {
    const candidates = [
      candidate('in', 'a'),
      ...Array.from({ length: 9 }, (_, i) => candidate(`out${i}`, 'b')),
    ]
    expect(chooseNeighbours({ zone: 'a' }, candidates, 8, HANDOUT_RULE, createPrng(7))).toHaveLength(8)
  })

  it('offers nobody who has enough neighbours', () => {
    const full = candidate('full', '', HANDOUT_RULE.degreeMax)
    expect(chooseNeighbours({ zone: '' }, [full], 8, HANDOUT_RULE, createPrng(1))).toEqual([])
  })

  it('chooses by chance among equals', () => {
    const candidates = Array.from({ length: 10 }, (_, i) => candidate(String(i)))
    const first = new Map<string, number>()
    for (let seed = 0; seed < 1_000; seed++) {
      const [id] = chooseNeighbours({ zone: '' }, candidates, 1, HANDOUT_RULE, createPrng(seed))
      first.set(id!, (first.get(id!) ?? 0) + 1)
    }
    expect(first.size).toBe(10)
    for (const count of first.values()) expect(Math.abs(count - 100)).toBeLessThan(50)
  })
})
