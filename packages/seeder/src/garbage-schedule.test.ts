/** Goal: garbage is collected when it is time, one collection after the other, and stopping waits for none to end by itself. */
import type { GarbageOutcome, ImageStore } from '@shoal/registry'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { GarbageSchedule } from './garbage-schedule.ts'

const INTERVAL_MS = 60_000
type Collect = ImageStore['collectGarbage']

let runs: Parameters<Collect>[0][]
let collect: Collect
let removedBytes: number[]
let logged: { event?: string }[]
let schedule: GarbageSchedule

beforeEach(() => {
  vi.useFakeTimers()
  runs = []
  removedBytes = []
  logged = []
  collect = async () => done(7)
  schedule = scheduleOf(INTERVAL_MS)
})
afterEach(async () => {
  await schedule.stop()
  vi.useRealTimers()
})

function scheduleOf(intervalMs: number): GarbageSchedule {
  const log = pino({ level: 'info' }, { write: (line: string) => logged.push(JSON.parse(line)) })
  const images: Pick<ImageStore, 'collectGarbage'> = {
    collectGarbage(options) {
      runs.push(options)
      return collect(options)
    },
  }
  return new GarbageSchedule({ images, log, onRemoved: (bytes) => removedBytes.push(bytes) }, { intervalMs })
}

const done = (bytes: number) => ({ kind: 'done', report: { removedBytes: bytes } }) as GarbageOutcome
const pass = (durationMs: number) => vi.advanceTimersByTimeAsync(durationMs)

describe('the schedule', () => {
  it('collects once an interval, in earnest, and counts what went', async () => {
    schedule.start()
    await pass(INTERVAL_MS - 1)
    expect(runs).toHaveLength(0)
    await pass(1)
    expect(runs).toHaveLength(1)
    expect(runs[0]!.isDryRun).toBe(false)
    await pass(2 * INTERVAL_MS)
    expect(removedBytes).toEqual([7, 7, 7])
  })

  it('of no interval collects nothing', async () => {
    schedule = scheduleOf(0)
    schedule.start()
    await pass(100 * INTERVAL_MS)
    expect(runs).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('leaves out its turn while a collection goes on, and takes the next', async () => {
    const hold = Promise.withResolvers<GarbageOutcome>()
    collect = () => hold.promise
    schedule.start()
    await pass(5 * INTERVAL_MS)
    expect(runs).toHaveLength(1)
    hold.resolve(done(1))
    await pass(INTERVAL_MS)
    expect(runs).toHaveLength(2)
  })

  it('counts nothing of a collection that somebody else was doing', async () => {
    collect = async () => ({ kind: 'busy' }) as GarbageOutcome
    schedule.start()
    await pass(INTERVAL_MS)
    expect(removedBytes).toEqual([])
    expect(logged).toEqual([])
  })

  it('goes on after a failure, and says so', async () => {
    collect = async () => {
      throw new Error('the origin is away')
    }
    schedule.start()
    await pass(INTERVAL_MS)
    expect(logged.map(({ event }) => event)).toEqual(['garbage-not-collected'])
    collect = async () => done(3)
    await pass(INTERVAL_MS)
    expect(removedBytes).toEqual([3])
  })
})

describe('stop', () => {
  it('ends the collection that goes on, waits for its end, and takes it for no failure', async () => {
    const ended: string[] = []
    collect = ({ signal }) =>
      new Promise((_resolve, reject) =>
        signal!.addEventListener('abort', () => {
          ended.push('the collection')
          reject(signal!.reason)
        }),
      )
    schedule.start()
    await pass(INTERVAL_MS)
    await schedule.stop()
    expect(ended).toEqual(['the collection'])
    expect(logged).toEqual([])
    await pass(10 * INTERVAL_MS)
    expect(runs).toHaveLength(1)
  })

  it('without a start, and twice, is nothing', async () => {
    await schedule.stop()
    await schedule.stop()
  })
})
