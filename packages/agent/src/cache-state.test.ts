/** Goal: a disk that hangs keeps nobody waiting, and is asked once whoever asks how often. */
import type { FolderState } from '@shoal/storage'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { CacheState } from './cache-state.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a disk that answers is told of as it is, each time anew', async () => {
  let freeBytes = 1
  const state = new CacheState({ folder: '/c' }, async (folder) => ({ folder, freeBytes: freeBytes++ }))
  expect(await state.now()).toEqual({ folder: '/c', freeBytes: 1 })
  expect(await state.now()).toEqual({ folder: '/c', freeBytes: 2 })
})

test('a disk that hangs', async () => {
  let looks = 0
  let answer = (_state: FolderState) => {}
  const state = new CacheState({ folder: '/c' }, () => {
    looks++
    return new Promise((resolve) => {
      answer = resolve
    })
  })
  const asked = [state.now(), state.now()]
  await vi.advanceTimersByTimeAsync(1_000)
  expect(await Promise.all(asked)).toEqual(new Array(2).fill({ folder: '/c', problem: 'TIMEOUT' }))
  const later = state.now()
  expect(looks).toBe(1)
  answer({ folder: '/c' })
  expect(await later).toEqual({ folder: '/c' })
  void state.now()
  expect(looks).toBe(2)
})
