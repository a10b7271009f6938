/**
 * Goal: who waits for something that may never come is let go by the signal, and a signal that outlives many waits keeps none.
 * Method: promises that are settled by hand.
 */
import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { orAborted } from './or-aborted.ts'

test('gives what was promised, and leaves nothing with the signal', async () => {
  const { signal } = new AbortController()
  expect(await orAborted(Promise.resolve('here'), signal)).toBe('here')
  await expect(orAborted(Promise.reject(new Error('failed')), signal)).rejects.toThrow('failed')
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

test('throws the reason of a signal, before or meanwhile', async () => {
  const never = new Promise<never>(() => {})
  const controller = new AbortController()
  const waiting = orAborted(never, controller.signal)
  controller.abort(new Error('gone'))
  await expect(waiting).rejects.toThrow('gone')
  await expect(orAborted(never, controller.signal)).rejects.toThrow('gone')
})
