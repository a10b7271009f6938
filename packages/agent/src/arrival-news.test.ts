/**
 * Goal: whoever waits for a blob on its way is woken by its end, by a stream that begins anew or breaks, and by silence, and by
 * nothing else. Method: an announcer that says what the test has it say, and a clock of the test's.
 */
import { EventEmitter } from 'node:events'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Announcer } from './announcer.ts'
import { ArrivalNews } from './arrival-news.ts'

const BLOB = 'ab'.repeat(20)
const OTHER = 'cd'.repeat(20)

let stream: EventEmitter
let news: ArrivalNews
beforeEach(() => {
  vi.useFakeTimers()
  stream = new EventEmitter()
  news = new ArrivalNews({ announcer: stream as unknown as Announcer })
})
afterEach(() => vi.useRealTimers())

/** How often whoever waits for the blob was woken. */
function wait(infoHash = BLOB, quietMs?: number) {
  const woken = { count: 0 }
  void news.next(infoHash, quietMs).then(() => woken.count++)
  return woken
}
const settle = () => vi.advanceTimersByTimeAsync(0)

describe('whoever waits for a blob on its way', () => {
  it('is woken by its end, with all who wait for it, and not by that of another', async () => {
    const [one, two, other] = [wait(), wait(), wait(OTHER)]
    stream.emit('arrivalEnded', BLOB)
    await settle()
    expect([one, two, other].map(({ count }) => count)).toEqual([1, 1, 0])
  })

  it.each(['welcome', 'closed'])('is woken when the stream says %s', async (event) => {
    const woken = [wait(), wait(OTHER)]
    stream.emit(event)
    await settle()
    expect(woken.map(({ count }) => count)).toEqual([1, 1])
  })

  it('is woken when nothing was heard of it for 10 s: its pieces are a sign of life', async () => {
    const woken = wait()
    await vi.advanceTimersByTimeAsync(9_000)
    stream.emit('pieces', BLOB, 0, new Uint8Array(32))
    stream.emit('pieces', OTHER, 0, new Uint8Array(32))
    await vi.advanceTimersByTimeAsync(9_000)
    expect(woken.count).toBe(0)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(woken.count).toBe(1)
  })

  it('sooner where it says so', async () => {
    const woken = wait(BLOB, 100)
    await vi.advanceTimersByTimeAsync(100)
    expect(woken.count).toBe(1)
  })

  it('does not miss an end that was told before it waited, and hears of it once', async () => {
    stream.emit('arrivalEnded', BLOB)
    const first = wait()
    await settle()
    expect(first.count).toBe(1)
    const second = wait()
    await settle()
    expect(second.count).toBe(0)
  })

  it('may have missed one that was told before 256 others', async () => {
    stream.emit('arrivalEnded', BLOB)
    for (let n = 0; n < 255; n++) stream.emit('arrivalEnded', n.toString(16).padStart(40, '0'))
    const kept = wait()
    await settle()
    expect(kept.count).toBe(1)
    stream.emit('arrivalEnded', BLOB)
    for (let n = 0; n < 256; n++) stream.emit('arrivalEnded', `f${n.toString(16).padStart(39, '0')}`)
    const missed = wait()
    await settle()
    expect(missed.count).toBe(0)
  })
})
