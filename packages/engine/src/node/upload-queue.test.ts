/** Goal: the order in which peers are served. Method: queues by hand. */
import { describe, expect, it } from 'vitest'
import { createUploadPeer, takeUpload, type UploadPeer } from './upload-queue.ts'

const block = (index: number, begin = 0) => ({ index, begin, length: 16_384 })

function peer(blocks: ReturnType<typeof block>[], timesSent: Record<number, number> = {}): UploadPeer {
  const made = createUploadPeer((index) => timesSent[index] ?? 0)
  made.queue.push(...blocks)
  return made
}

describe('takeUpload', () => {
  it('takes the piece that was sent least often, whoever asks for it', () => {
    const sent = { 1: 3, 2: 0, 3: 1 }
    const [first, second] = [peer([block(1)], sent), peer([block(3), block(2)], sent)]
    expect(takeUpload(0, [first, second], 2)).toEqual({ peer: second, block: block(2) })
    expect(second.queue).toEqual([block(3)])
  })

  it('finishes a piece before it begins another', () => {
    const one = peer([block(2), block(1, 16_384)], { 1: 9, 2: 0 })
    one.lastPiece = 1
    expect(takeUpload(0, [one], 2)?.block).toEqual(block(1, 16_384))
  })

  it('serves whom it has served longest ago, between equals', () => {
    const [first, second] = [peer([block(1)]), peer([block(1)])]
    first.lastServedAtMs = 50
    second.lastServedAtMs = 20
    expect(takeUpload(100, [first, second], 2)?.peer).toBe(second)
  })

  it('waits while every slot is in use, and while a peer has its two', () => {
    const busy = peer([block(3)])
    busy.sends.push({ block: block(1), sinceMs: 0 }, { block: block(2), sinceMs: 0 })
    expect(takeUpload(10, [busy, peer([block(1)])], 2)).toBeUndefined()
    expect(takeUpload(10, [busy], 4)).toBeUndefined()
  })

  it('counts no slot for a receiver that is slow', () => {
    const slow = peer([])
    slow.sends.push({ block: block(1), sinceMs: 0 }, { block: block(2), sinceMs: 0 })
    const other = peer([block(1)])
    expect(takeUpload(100, [slow, other], 2)).toBeUndefined()
    expect(takeUpload(600, [slow, other], 2)?.peer).toBe(other)
    expect(slow.isSlow).toBe(true)
  })
})
