import { expect, it, vi } from 'vitest'
import { within } from './within.ts'

it('gives what is settled in time, and leaves no timer', async () => {
  vi.useFakeTimers()
  try {
    expect(await within(Promise.resolve('here'), 1_000)).toBe('here')
    await expect(within(Promise.reject(new Error('not here')), 1_000)).rejects.toThrow('not here')
    expect(vi.getTimerCount()).toBe(0)
    const late = within(new Promise(() => {}), 1_000)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await late).toBeUndefined()
  } finally {
    vi.useRealTimers()
  }
})
