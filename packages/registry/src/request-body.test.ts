/**
 * Goal: the rest of a body that an answer did not need is read only so far and for so long that the connection is worth it.
 * Method: a body in the test's hands, on time that the test sets.
 */
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { discardBody } from './request-body.ts'

const MIB = 1024 * 1024

let body: PassThrough
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  body = Object.assign(new PassThrough({ highWaterMark: MIB }), {
    complete: false,
    headers: { 'transfer-encoding': 'chunked' },
  })
})
afterEach(() => {
  body.destroy()
  vi.useRealTimers()
})
const discarding = () => discardBody(body as unknown as IncomingMessage)

async function send(bytes: number): Promise<void> {
  for (let sent = 0; sent < bytes; sent += MIB)
    await new Promise<void>((resolve) =>
      body.write(Buffer.alloc(Math.min(MIB, bytes - sent)), () => resolve()),
    )
}

describe('the rest of a body', () => {
  test('of 16 MiB is read to its end, so that the connection can go on', async () => {
    const outcome = discarding()
    await send(16 * MIB)
    body.end()
    expect(await outcome).toBe(true)
  })

  test('of more is not', async () => {
    const outcome = discarding()
    await send(16 * MIB)
    body.write('x')
    // Had it been read on, it would be this that ends it.
    setImmediate(() => body.end())
    expect(await outcome).toBe(false)
    expect(body.isPaused()).toBe(true)
  })

  test('is waited for no longer than five seconds', async () => {
    const settled = vi.fn()
    const outcome = discarding().then(settled)
    vi.advanceTimersByTime(4_999)
    await Promise.resolve()
    expect(settled).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    await outcome
    expect(settled).toHaveBeenCalledWith(false)
  })
})
