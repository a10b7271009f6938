/** Goal: the window follows bandwidth × delay, blocks follow the rate. Method: a link in two lines, with a queue at its end. */
import { describe, expect, it } from 'vitest'
import { Pipeline } from './pipeline.ts'

const MIB = 1024 * 1024

/** Keeps the window full over a link for so many ms. @returns bytes that came in the last half */
function drive(pipeline: Pipeline, link: { bytesPerMs: number; delayMs: number }, forMs: number): number {
  const underWay: { atMs: number; bytes: number; stamp: ReturnType<Pipeline['requested']> }[] = []
  let freeAtMs = 0
  let late = 0
  for (let nowMs = 0; nowMs < forMs; nowMs++) {
    while (underWay[0] !== undefined && underWay[0].atMs <= nowMs) {
      const { bytes, stamp } = underWay.shift()!
      pipeline.arrived(nowMs, bytes, stamp)
      if (nowMs >= forMs / 2) late += bytes
    }
    while (pipeline.hasRoom) {
      const bytes = pipeline.blockBytes
      const stamp = pipeline.requested(nowMs, bytes)
      freeAtMs = Math.max(freeAtMs, nowMs + link.delayMs) + bytes / link.bytesPerMs
      underWay.push({ atMs: Math.ceil(freeAtMs), bytes, stamp })
    }
  }
  return late
}

function longBlocks(bytesMax = 64 * MIB): Pipeline {
  const pipeline = new Pipeline(bytesMax)
  pipeline.blockBytesMax = 4 * MIB
  return pipeline
}

describe('Pipeline', () => {
  it.each([
    { bytesPerMs: 1_000, delayMs: 2 },
    { bytesPerMs: 10_000, delayMs: 100 },
    { bytesPerMs: 100_000, delayMs: 50 },
    { bytesPerMs: 100, delayMs: 300 },
  ])('fills a link of $bytesPerMs bytes/ms and $delayMs ms', (link) => {
    const forMs = 8_000
    expect(drive(longBlocks(), link, forMs)).toBeGreaterThan((forMs / 2) * link.bytesPerMs * 0.9)
  })

  it('fills it with the short blocks of standard clients, too', () => {
    const link = { bytesPerMs: 10_000, delayMs: 50 }
    expect(drive(new Pipeline(64 * MIB), link, 8_000)).toBeGreaterThan(4_000 * link.bytesPerMs * 0.9)
  })

  it('asks for no more than a few rounds of what the link holds', () => {
    const pipeline = longBlocks()
    const link = { bytesPerMs: 10_000, delayMs: 100 }
    drive(pipeline, link, 8_000)
    expect(pipeline.windowBytes).toBeLessThan(8 * link.bytesPerMs * link.delayMs)
  })

  it('asks for blocks that take about a tenth of a second', () => {
    const slow = longBlocks()
    drive(slow, { bytesPerMs: 1_000, delayMs: 2 }, 5_000)
    expect(slow.blockBytes).toBeGreaterThanOrEqual(32 * 1024)
    expect(slow.blockBytes).toBeLessThanOrEqual(256 * 1024)
    const fast = longBlocks()
    drive(fast, { bytesPerMs: 1_000_000, delayMs: 1 }, 200)
    expect(fast.blockBytes).toBe(4 * MIB)
  })

  it('never asks for more than it may, apart from one block', () => {
    const pipeline = longBlocks(MIB)
    drive(pipeline, { bytesPerMs: 1_000_000, delayMs: 100 }, 2_000)
    expect(pipeline.outstandingBytes).toBeLessThanOrEqual(2 * MIB)
  })

  it('waits longer for a peer that is slow as a rule, and gives none more than eight seconds', () => {
    const quick = longBlocks()
    drive(quick, { bytesPerMs: 10_000, delayMs: 5 }, 2_000)
    const slow = longBlocks()
    drive(slow, { bytesPerMs: 20, delayMs: 400 }, 60_000)
    expect(quick.timeoutMs).toBeLessThan(slow.timeoutMs)
    expect(slow.timeoutMs).toBeLessThanOrEqual(8_000)
  })

  it('forgets what a peer promised when it did not keep it', () => {
    const pipeline = longBlocks()
    drive(pipeline, { bytesPerMs: 100_000, delayMs: 5 }, 500)
    pipeline.reset()
    expect(pipeline.rate).toBe(0)
    expect(pipeline.blockBytes).toBe(32 * 1024)
  })
})
