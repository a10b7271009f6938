/** Goal: what is spent follows the rate, in whatever portions. Method: spend as soon as it is allowed, and count. */
import { describe, expect, it } from 'vitest'
import { TokenBucket } from './token-bucket.ts'

function spentIn(ms: number, bytesPerSecond: number, portion: number): number {
  const bucket = new TokenBucket(bytesPerSecond, 0)
  let spent = 0
  for (let nowMs = 0; nowMs < ms; nowMs = Math.max(nowMs, bucket.nextAtMs(nowMs))) {
    bucket.spend(portion)
    spent += portion
  }
  return spent
}

describe('TokenBucket', () => {
  it.each([1_000, 16_384, 4_194_304])('keeps to the rate in portions of %i bytes', (portion) => {
    const seconds = 100
    const spent = spentIn(seconds * 1000, 1_000_000, portion)
    expect(spent).toBeGreaterThanOrEqual(1_000_000 * seconds)
    // A burst at the start, and the last portion's debt.
    expect(spent).toBeLessThanOrEqual(1_000_000 * (seconds + 0.25) + portion)
  })

  it('says when it may be spent again, not a millisecond late', () => {
    const bucket = new TokenBucket(1_000_000, 0)
    bucket.spend(350_000)
    expect(bucket.hasAny(0)).toBe(false)
    expect(bucket.nextAtMs(0)).toBe(101)
    expect(bucket.hasAny(100)).toBe(false)
    expect(bucket.hasAny(101)).toBe(true)
  })

  it('saves up no more than a burst', () => {
    const bucket = new TokenBucket(1_000_000, 0)
    expect(bucket.hasAny(3_600_000)).toBe(true)
    bucket.spend(250_000)
    expect(bucket.hasAny(3_600_000)).toBe(false)
  })

  it('may spend what was given back, and saves up no more for it', () => {
    const bucket = new TokenBucket(1_000_000, 0)
    bucket.spend(300_000)
    expect(bucket.hasAny(0)).toBe(false)
    bucket.giveBack(300_000)
    expect(bucket.hasAny(0)).toBe(true)
    bucket.giveBack(10_000_000)
    expect(bucket.hasAny(1)).toBe(true)
    bucket.spend(250_000)
    expect(bucket.hasAny(1)).toBe(false)
  })

  it('without a limit always has some', () => {
    const bucket = new TokenBucket(Number.POSITIVE_INFINITY, 0)
    bucket.spend(2 ** 50)
    expect(bucket.hasAny(0)).toBe(true)
    expect(bucket.nextAtMs(7)).toBe(7)
  })
})
