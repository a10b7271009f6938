/** Goal: a clock that once ran ahead does not decide what a tag means. Method: records with dates, in any order. */
import { parseDigest } from '@shoal/core'
import type { SignedTag } from '@shoal/wire'
import { describe, expect, it } from 'vitest'
import { isDatedAhead, latestTag } from './latest-tag.ts'

const NOW_MS = 1_800_000_000_000
const DAY_MS = 24 * 60 * 60 * 1_000
const dated = (issuedAtMs: number): SignedTag => ({
  record: { repository: 'a/b', tag: '1', digest: parseDigest(`sha256:${'1'.repeat(64)}`), issuedAtMs },
  signature: new Uint8Array(64),
})
const [old, recent, ahead, further] = [-DAY_MS, -1_000, DAY_MS, 2 * DAY_MS].map((ms) => dated(NOW_MS + ms))

describe('of several records', () => {
  it.each([
    ['the latest counts', [old, recent], recent],
    ['in whatever order they came', [recent, old], recent],
    ['one from the future counts as the oldest', [ahead, old], old],
    ['and is used where there is nothing else', [ahead], ahead],
    ['the latest of those', [ahead, further], further],
    ['nothing is nothing', [], undefined],
  ])('%s', (_what, records, expected) => {
    expect(latestTag(records as SignedTag[], NOW_MS)).toBe(expected)
  })

  it('clocks that differ by seconds are let pass', () => {
    expect(isDatedAhead(dated(NOW_MS + 10_000), NOW_MS)).toBe(false)
    expect(isDatedAhead(dated(NOW_MS + 61_000), NOW_MS)).toBe(true)
  })
})
