/** Goal: an origin is read through now and then, one time after the other, and stopping ends it. */
import type { ImageStore } from '@shoal/registry'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import {
  BACKGROUND_SCRUB_BYTES_PER_SECOND,
  FIRST_SCRUB_MS,
  SCRUB_PAUSE_MS,
  ScrubSchedule,
} from './scrub-schedule.ts'

let runs: NonNullable<Parameters<ImageStore['scrub']>[0]>[]
let scrub: () => Promise<void>
let logged: { event?: string }[]
let schedule: ScrubSchedule

beforeEach(() => {
  vi.useFakeTimers()
  runs = []
  logged = []
  scrub = async () => {}
  schedule = new ScrubSchedule({
    images: {
      async scrub(options = {}) {
        runs.push(options)
        await scrub()
        return { blobs: 0, bytes: 0, mendedBlobs: 0, damagedBlobs: 0, damaged: [] }
      },
    },
    log: pino({ level: 'info' }, { write: (line: string) => logged.push(JSON.parse(line)) }),
    random: () => 0.25,
  })
  schedule.start()
})
afterEach(async () => {
  await schedule.stop()
  vi.useRealTimers()
})

const pass = (durationMs: number) => vi.advanceTimersByTimeAsync(durationMs)

it('begins a while after the start, slowly, from somewhere; the next is a pause after its end', async () => {
  await pass(FIRST_SCRUB_MS - 1)
  expect(runs).toEqual([])
  const hold = Promise.withResolvers<void>()
  scrub = () => hold.promise
  await pass(1)
  expect(runs).toMatchObject([{ startAt: 0.25, bytesPerSecond: BACKGROUND_SCRUB_BYTES_PER_SECOND }])
  await pass(3 * SCRUB_PAUSE_MS)
  expect(runs).toHaveLength(1)
  hold.resolve()
  await pass(SCRUB_PAUSE_MS)
  expect(runs).toHaveLength(2)
})

it('that failed is said, and tried again', async () => {
  scrub = () => Promise.reject(new Error('no disk'))
  await pass(FIRST_SCRUB_MS)
  expect(logged.map(({ event }) => event)).toEqual(['scrub-failed'])
  await pass(SCRUB_PAUSE_MS)
  expect(runs).toHaveLength(2)
})

it('ends with the seeder, and that is no failure', async () => {
  scrub = () =>
    new Promise((_, reject) => {
      const { signal } = runs[0]!
      signal!.addEventListener('abort', () => reject(signal!.reason))
    })
  await pass(FIRST_SCRUB_MS)
  await schedule.stop()
  expect(logged).toEqual([])
  await pass(2 * SCRUB_PAUSE_MS)
  expect(runs).toHaveLength(1)
  expect(vi.getTimerCount()).toBe(0)
})
