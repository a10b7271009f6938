/**
 * Goal: who waits for something that may never come is let go in time, and hears why; nothing of the wait stays behind.
 * Method: promises that are settled by hand, signals, and timers that the test moves.
 */
import { getEventListeners } from 'node:events'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { orAborted, within } from './waiting.ts'

const never = new Promise<never>(() => {})
afterEach(() => {
  vi.useRealTimers()
})

describe('orAborted', () => {
  it('gives what was promised, and leaves nothing with the signal', async () => {
    const { signal } = new AbortController()
    expect(await orAborted(Promise.resolve('here'), signal)).toBe('here')
    await expect(orAborted(Promise.reject(new Error('failed')), signal)).rejects.toThrow('failed')
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })

  it('throws the reason of a signal, before or meanwhile', async () => {
    const controller = new AbortController()
    const waiting = orAborted(never, controller.signal)
    controller.abort(new Error('gone'))
    await expect(waiting).rejects.toThrow('gone')
    await expect(orAborted(never, controller.signal)).rejects.toThrow('gone')
  })
})

describe('within', () => {
  it('gives what is settled in time, and leaves no timer', async () => {
    vi.useFakeTimers()
    expect(await within(Promise.resolve('here'), 1_000)).toBe('here')
    await expect(within(Promise.reject(new Error('not here')), 1_000)).rejects.toThrow('not here')
    expect(vi.getTimerCount()).toBe(0)
    const late = within(never, 1_000)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await late).toBeUndefined()
  })
})
