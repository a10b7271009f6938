/**
 * Goal: every piece of the cache is looked at within a week, slowly. Method: the pace for caches of all sizes; a cache of blobs that
 * are not there, whose looks are counted.
 */
import { Bitfield, createPrng, type Digest } from '@shoal/core'
import type { StoredBlob } from '@shoal/storage'
import { sha256 } from '@shoal/testing/content'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { SCRUB_PERIOD_MS, SCRUB_RATE, scrubPauseMs } from './scrub-pace.ts'
import { Scrubber } from './scrubber.ts'

const GIB = 1024 ** 3

test.each([1, 40, 64, 400, 2_000])('%i GiB are read within the period, at a bounded rate', (gib) => {
  const pieceBytes = 1024 ** 2
  const passMs = ((gib * GIB) / pieceBytes) * scrubPauseMs(gib * GIB, pieceBytes)
  expect(passMs).toBeLessThanOrEqual(SCRUB_PERIOD_MS * 1.001)
  const bytesPerSecond = (pieceBytes / scrubPauseMs(gib * GIB, pieceBytes)) * 1_000
  expect(bytesPerSecond).toBeLessThanOrEqual(SCRUB_RATE.bytesPerSecondMax)
  expect(bytesPerSecond).toBeGreaterThanOrEqual(SCRUB_RATE.bytesPerSecondMin - 1)
})

test('a pass looks at each piece of every complete blob once, and nothing at what is still coming', async () => {
  const looks: string[] = []
  const blobs = new Map<Digest, StoredBlob>()
  const add = (name: string, pieces: number, isComplete = true) => {
    const digest = sha256(name)
    const metainfo = { digest, length: pieces * 10, pieceLength: 10 }
    const check = async (index?: number) => {
      looks.push(`${name} ${index}`)
      return true
    }
    blobs.set(digest, { metainfo, have: Bitfield.full(pieces), isComplete, check } as unknown as StoredBlob)
  }
  add('a', 2)
  add('b', 3)
  add('coming', 3, false)
  add('c', 1)
  const store = { blobs: () => [...blobs.values()], get: (digest: Digest) => blobs.get(digest) }
  const scrubber = new Scrubber({ store, prng: createPrng(1), log: pino({ level: 'silent' }) })
  for (let n = 0; n < 6; n++) await scrubber.next()
  expect([...looks].sort()).toEqual(['a 0', 'a 1', 'b 0', 'b 1', 'b 2', 'c 0'])
  // Evicted in the middle of a pass.
  for (let n = 0; n < 2; n++) await scrubber.next()
  blobs.clear()
  expect(await scrubber.next()).toBeGreaterThan(1_000)
})
