/** Goal: the order in which peers are served. Method: queues by hand. */
import { describe, expect, it } from 'vitest'
import { createUploadPeer, takeUpload, type UploadPeer } from './upload-queue.ts'

const block = (index: number, begin = 0) => ({ index, begin, length: 16_384 })

function peer(
  blocks: ReturnType<typeof block>[],
  timesSent: Record<number, number> = {},
  pieces = 0,
): UploadPeer {
  const made = createUploadPeer(
    (index) => timesSent[index] ?? 0,
    () => pieces,
  )
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

  it('serves who has least, before who has waited longest', () => {
    const [rich, poor] = [peer([block(1)], {}, 7), peer([block(1)], {}, 3)]
    poor.lastServedAtMs = 50
    expect(takeUpload(100, [rich, poor], 2)?.peer).toBe(poor)
  })

  it('serves whoever is sent nothing now before it sends more to another', () => {
    const [served, waiting] = [peer([block(1)], { 1: 0, 2: 5 }), peer([block(2)], { 1: 0, 2: 5 })]
    served.sends.push({ block: block(3), sinceMs: 0, overtaken: 0 })
    expect(takeUpload(10, [served, waiting], 4)?.peer).toBe(waiting)
  })

  it('waits while every slot is in use, and while a peer has its two', () => {
    const busy = peer([block(3)])
    busy.sends.push(
      { block: block(1), sinceMs: 0, overtaken: 0 },
      { block: block(2), sinceMs: 0, overtaken: 0 },
    )
    expect(takeUpload(10, [busy, peer([block(1)])], 2)).toBeUndefined()
    expect(takeUpload(10, [busy], 4)).toBeUndefined()
  })

  it('counts no slot for a receiver that is slow', () => {
    const slow = peer([])
    slow.sends.push(
      { block: block(1), sinceMs: 0, overtaken: 0 },
      { block: block(2), sinceMs: 0, overtaken: 0 },
    )
    const other = peer([block(1)])
    expect(takeUpload(100, [slow, other], 2)).toBeUndefined()
    // Where nobody is faster, it is this node's own link.
    expect(takeUpload(600, [slow, other], 2)).toBeUndefined()
    for (const send of slow.sends) send.overtaken = 3
    expect(takeUpload(600, [slow, other], 2)?.peer).toBe(other)
    expect(slow.isSlow).toBe(true)
  })
})
