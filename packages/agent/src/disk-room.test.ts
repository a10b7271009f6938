/**
 * Goal: what is kept fits on the disk, and what goes for it goes for something. Method: disks and caches drawn at random, and the
 * moments where one answer becomes the other.
 */
import { createPrng, type Digest } from '@shoal/core'
import { expect, test } from 'vitest'
import { DISK_RESERVE_BYTES, type RoomCandidate, roomFor } from './disk-room.ts'

const MIB = 1024 ** 2
const blob = (digest: string, mib: number, more: Partial<RoomCandidate> = {}): RoomCandidate => ({
  digest: digest as Digest,
  bytes: mib * MIB,
  writtenBytes: mib * MIB,
  lastUsedAtMs: 0,
  isBusy: false,
  isComplete: true,
  ...more,
})
const room = (
  neededMib: number,
  freeMib: number,
  candidates: readonly RoomCandidate[] = [],
  outstandingMib = 0,
) =>
  roomFor({
    neededBytes: neededMib * MIB,
    freeBytes: freeMib * MIB,
    outstandingBytes: outstandingMib * MIB,
    candidates,
  })
const reserve = DISK_RESERVE_BYTES / MIB

test('what fits has room, with what others will still write', () => {
  expect(room(10, 10 + reserve)).toEqual({ kind: 'room', victims: [] })
  expect(room(10, 9 + reserve)).toEqual({ kind: 'none' })
  expect(room(10, 20 + reserve, [], 10)).toEqual({ kind: 'room', victims: [] })
  expect(room(10, 20 + reserve, [], 11)).toEqual({ kind: 'none' })
})

test('unfinished blobs go first, then the least recently used, and never one that is used', () => {
  const candidates = [
    blob('busy', 50, { isBusy: true }),
    blob('recent', 10, { lastUsedAtMs: 9 }),
    blob('old', 10, { lastUsedAtMs: 1 }),
    blob('part', 40, { lastUsedAtMs: 99, isComplete: false, writtenBytes: 5 * MIB }),
  ]
  expect(room(5, reserve, candidates)).toEqual({ kind: 'room', victims: ['part'] })
  expect(room(15, reserve, candidates)).toEqual({ kind: 'room', victims: ['part', 'old'] })
  expect(room(25, reserve, candidates)).toEqual({ kind: 'room', victims: ['part', 'old', 'recent'] })
  expect(room(26, reserve, candidates), 'nothing goes in vain').toEqual({ kind: 'none' })
})

test('whatever the disk: room is room', () => {
  for (let seed = 0; seed < 2_000; seed++) {
    const prng = createPrng(seed)
    const mib = (max: number) => prng.below(max + 1)
    const candidates = Array.from({ length: prng.below(6) }, (_, n) => {
      const written = mib(20)
      return blob(`${n}`, written + mib(5), {
        writtenBytes: written * MIB,
        isBusy: prng.next() < 0.3,
        isComplete: prng.next() < 0.7,
        lastUsedAtMs: prng.below(100),
      })
    })
    const [needed, free, outstanding] = [mib(40), mib(40), mib(10)]
    const found = room(needed, free, candidates, outstanding)
    const idleMib = candidates
      .filter(({ isBusy }) => !isBusy)
      .reduce((sum, each) => sum + each.writtenBytes / MIB, 0)
    const wanted = needed + outstanding + reserve
    expect(found.kind, `seed ${seed}`).toBe(free + idleMib >= wanted ? 'room' : 'none')
    if (found.kind === 'none') continue
    const victims = candidates.filter(({ digest }) => found.victims.includes(digest))
    expect(victims.every(({ isBusy }) => !isBusy)).toBe(true)
    const freed = victims.reduce((sum, each) => sum + each.writtenBytes / MIB, 0)
    expect(free + freed).toBeGreaterThanOrEqual(wanted)
    if (free >= wanted) expect(victims).toEqual([])
  }
})
