/**
 * Goal: a disk that takes nothing is told of once, and not believed for ever. Method: its free bytes and the clock are the test's.
 */
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CacheDisk, diskCodeOf } from './cache-disk.ts'

let free: number | undefined
let nowMs: number
let events: string[]
let disk: CacheDisk

beforeEach(() => {
  free = 0
  nowMs = 1_000_000
  events = []
  const log = pino({ level: 'info' }, { write: (line: string) => events.push(JSON.parse(line).event) })
  disk = new CacheDisk({ log, nowMs: () => nowMs, freeBytes: async () => free }, { folder: '/cache' })
})
afterEach(() => disk.stop())

const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })

test('what does not fit is told of once, until there is room for it', async () => {
  expect(disk.problem).toBeUndefined()
  disk.refused(1_000, 10)
  disk.refused(500, 10)
  expect(events).toEqual(['cache-disk-full'])
  expect(disk.problem).toBe('the cache’s disk has no room: 500 bytes are needed, 10 are free')
  expect(disk.mayWrite, 'something shorter may fit').toBe(true)
  free = 999
  await disk.look()
  expect(disk.problem).toBeDefined()
  free = 1_000
  await disk.look()
  expect([disk.problem, events]).toEqual([undefined, ['cache-disk-full', 'cache-disk-has-room']])
})

test('what is larger than the disk ever has room for is forgotten', async () => {
  disk.refused(1_000_000, 10)
  nowMs += 600_000
  await disk.look()
  expect(disk.problem).toBeUndefined()
})

test('after a write that failed nothing is written for a while, whatever seems free', async () => {
  free = 1_000_000
  expect(disk.failed(new Error('the transfer failed', { cause: full }))).toBe(true)
  expect(disk.mayWrite).toBe(false)
  expect(disk.problem).toBe('the cache’s disk cannot be written to (ENOSPC)')
  await disk.look()
  expect(disk.problem).toBeDefined()
  nowMs += 30_000
  await disk.look()
  expect([disk.mayWrite, disk.problem]).toEqual([true, undefined])
})

test('an error that has nothing to do with the disk is nobody’s business here', () => {
  expect(disk.failed(new Error('reset', { cause: { code: 'ENOSPC' } }))).toBe(false)
  expect(disk.failed(Object.assign(new Error('gone'), { code: 'ENOENT' }))).toBe(false)
  expect([disk.problem, events]).toEqual([undefined, []])
  expect(diskCodeOf(undefined)).toBeUndefined()
})
