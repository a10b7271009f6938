/**
 * Goal: whom chance may choose it chooses evenly, whom load should spare it spares, and no piece is imported by two.
 * Method: small pools by hand; thousands of seeds for what is left to chance.
 */

import { createPrng } from '@shoal/core'
import { describe, expect, it } from 'vitest'
import { dealRemainders, drawDistinct, drawLeastLoaded, firstFromAnywhere, type Load } from './handout.ts'

interface Named extends Load {
  readonly name: string
}
const member = (name: string, degree = 0, totalDegree = degree): Named => ({ name, degree, totalDegree })
const everybody = () => true

describe('drawLeastLoaded', () => {
  it('takes the one with the fewest neighbours of those that it drew', () => {
    const pool = [member('a', 5), member('b', 1), member('c', 9)]
    const names = Array.from(
      { length: 200 },
      (_, seed) => drawLeastLoaded(pool, everybody, 3, createPrng(seed))!.name,
    )
    const share = (name: string) => names.filter((drawn) => drawn === name).length / names.length
    // Three draws with replacement miss one of three members with probability 8/27, two of them with 1/27.
    expect(share('b')).toBeGreaterThan(0.6)
    expect(share('c')).toBeLessThan(0.1)
  })

  it('spares, of equals, the one that has more to do in other swarms', () => {
    const pool = [member('busy', 4, 40), member('idle', 4, 4)]
    let idle = 0
    for (let seed = 0; seed < 1_000; seed++)
      if (drawLeastLoaded(pool, everybody, 3, createPrng(seed))!.name === 'idle') idle++
    // All three draws hit the busy one with probability 1/8.
    expect(idle / 1_000).toBeGreaterThan(0.8)
  })

  it('chooses by chance among equals', () => {
    const pool = Array.from({ length: 10 }, (_, i) => member(String(i)))
    const times = new Map<string, number>()
    for (let seed = 0; seed < 1_000; seed++) {
      const { name } = drawLeastLoaded(pool, everybody, 3, createPrng(seed))!
      times.set(name, (times.get(name) ?? 0) + 1)
    }
    expect(times.size).toBe(10)
    for (const count of times.values()) expect(Math.abs(count - 100)).toBeLessThan(50)
  })

  it('finds the only one that is open in a small pool, and nobody where there is nobody', () => {
    const pool = Array.from({ length: 40 }, (_, i) => member(String(i)))
    for (let seed = 0; seed < 100; seed++)
      expect(drawLeastLoaded(pool, ({ name }) => name === '17', 3, createPrng(seed))?.name).toBe('17')
    expect(drawLeastLoaded(pool, () => false, 3, createPrng(1))).toBeUndefined()
    expect(drawLeastLoaded([], everybody, 3, createPrng(1))).toBeUndefined()
  })

  it('looks at a bounded number of a large pool', () => {
    const pool = Array.from({ length: 100_000 }, (_, i) => member(String(i)))
    let looks = 0
    drawLeastLoaded(pool, () => looks++ < 0, 3, createPrng(1))
    expect(looks).toBeLessThanOrEqual(12)
  })
})

describe('drawDistinct', () => {
  it.each([5, 11, 1_000])('gives different ones, of a pool of %i', (size) => {
    const pool = Array.from({ length: size }, (_, i) => i)
    for (let seed = 0; seed < 50; seed++) {
      const drawn = drawDistinct(pool, 5, createPrng(seed))
      expect(new Set(drawn).size).toBe(5)
    }
  })

  it('gives all where there are too few', () => {
    expect(drawDistinct([3, 1, 2], 8, createPrng(1)).toSorted()).toEqual([1, 2, 3])
  })
})

describe('firstFromAnywhere', () => {
  it('begins anywhere', () => {
    const pool = [0, 1, 2, 3]
    const first = new Set(
      Array.from({ length: 100 }, (_, seed) => firstFromAnywhere(pool, everybody, createPrng(seed))),
    )
    expect(first.size).toBe(4)
  })
})

describe('dealRemainders', () => {
  const dealt = (shares: number[][], unheld: number[]) => {
    const changed = [...dealRemainders(shares, unheld)].toSorted()
    return { shares, changed }
  }

  it('gives one importer everything, and two the half each', () => {
    expect(dealt([[]], [0, 1, 2, 3])).toEqual({ shares: [[0, 1, 2, 3]], changed: [0] })
    expect(dealt([[0, 1, 2, 3], []], [])).toEqual({
      shares: [
        [0, 1],
        [2, 3],
      ],
      changed: [0, 1],
    })
  })

  it('takes from the richest for one more', () => {
    expect(dealt([[0, 1], [2, 3], []], [])).toEqual({ shares: [[0], [2, 3], [1]], changed: [0, 2] })
  })

  it('gives a successor what was left, and touches nobody else', () => {
    expect(dealt([[0], [1], [3], []], [2])).toEqual({ shares: [[0], [1], [3], [2]], changed: [3] })
  })

  it('shares out what was left where nobody succeeds', () => {
    expect(dealt([[0], [1], [3]], [2])).toEqual({ shares: [[0, 2], [1], [3]], changed: [0] })
  })
})
