/**
 * Goal: who watches sees which layers are copied, which images are there and how many nodes have them; a log sees nothing.
 * Method: lines as a seeder tells them, drawn on a terminal that keeps what was written.
 */
import type { PublishLine } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { terminal } from '../testing/terminal.ts'
import { showPublish } from './progress.ts'

const digests = ['1', '2', '3'].map((digit) => `sha256:${digit.repeat(64)}` as const)
const [layer, present, waiting] = digests as [`sha256:${string}`, `sha256:${string}`, `sha256:${string}`]
const reference = 'team/app:1'
const line = (value: object) => ({ reference, ...value }) as PublishLine
const image = line({
  type: 'image',
  digest: layer,
  layers: digests.map((digest) => ({ digest, bytes: 40e6 })),
})
const copying = line({ type: 'layer', digest: layer, receivedBytes: 10e6, state: 'copying' })
const published = line({ type: 'published', digest: layer, copiedBytes: 80e6, presentBytes: 40e6 })

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** @returns what was drawn between each two lines */
async function drawn(lines: readonly PublishLine[], isTTY = true): Promise<string> {
  const { stream, text } = terminal({ isTTY })
  const progress = showPublish(stream)
  for (const one of lines) {
    progress.show(one)
    await vi.advanceTimersByTimeAsync(500)
  }
  progress.stop()
  await vi.advanceTimersByTimeAsync(500)
  return text()
}

describe('on a terminal', () => {
  test('a layer that is copied has a bar', async () => {
    const text = await drawn([
      image,
      line({ type: 'layer', digest: waiting, receivedBytes: 0, state: 'waiting' }),
      line({ type: 'layer', digest: present, receivedBytes: 40e6, state: 'present' }),
      copying,
      line({ type: 'layer', digest: layer, receivedBytes: 40e6, state: 'done' }),
    ])
    expect(text).toMatch(/ 1{12} .* 25 % {2}10\.0 MB of 40\.0 MB/)
    expect(text).not.toMatch(/2{12}|3{12}/)
  })

  test('an image that is there has a line, and one that failed', async () => {
    const failed = line({ type: 'failed', reference: 'b:1', code: 'UPSTREAM', message: 'no' })
    const text = await drawn([image, copying, published, failed, { type: 'end', published: 1, failed: 1 }])
    expect(text).toContain(' team/app:1 published: 80.0 MB copied, 40.0 MB there already\n')
    expect(text).toContain(' b:1 FAILED\n')
    // The bar goes with the image, however its layer was left.
    expect(text.slice(text.indexOf('published:'))).not.toMatch(/1{12}/)
  })

  test('nodes that are warmed have a bar, then a line', async () => {
    const warm = (ready: number) => line({ type: 'warm', nodes: 50, ready })
    const text = await drawn([warm(0), warm(20), warm(50)])
    expect(text).toMatch(/ team\/app:1 .* 20 of 50 nodes have it/)
    expect(text.match(/team\/app:1: 50 of 50 nodes have it\n/g)).toHaveLength(1)
    expect(await drawn([warm(0), warm(20)])).toContain(' team/app:1: 20 of 50 nodes have it\n')
  })

  test('a layer of which nothing was told beforehand has no bar', async () => {
    expect(await drawn([copying])).not.toMatch(/1{12}/)
  })
})

test('elsewhere there is nothing', async () => {
  expect(await drawn([image, copying, published], false)).toBe('')
})
