/**
 * The one source of chance in the pure layers: seeded, so that a run can be repeated from its seed. Pure. Not for secrets.
 * mulberry32: 32 bits of state, passes the tests that choosing a neighbour or breaking a tie needs.
 */
import { assert } from './errors.ts'

export interface Prng {
  /** A real number in [0, 1). */
  next(): number
  /** A whole number in [0, limit). */
  below(limit: number): number
  /** A new order of the items; the argument is left alone. */
  shuffled<T>(items: readonly T[]): T[]
}

export function createPrng(seed: number): Prng {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number) => {
    assert(Number.isSafeInteger(limit) && limit > 0, 'there is something to choose from')
    return Math.floor(next() * limit)
  }
  return {
    next,
    below,
    shuffled(items) {
      const order = [...items]
      for (let last = order.length - 1; last > 0; last--) {
        const other = below(last + 1)
        ;[order[last], order[other]] = [order[other]!, order[last]!]
      }
      return order
    },
  }
}
