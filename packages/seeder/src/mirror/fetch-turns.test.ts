/**
 * Goal: a fetch whose registry has fallen silent ends after 20 s, 30 s before its first byte, and nothing else ends with it.
 * Method: fetches that say what the test wants, on timers that the test moves.
 */
import { UpstreamUnavailableError } from '@shoal/registry-client'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { type FetchInTurn, FetchTurns } from './fetch-turns.ts'

const NEVER = new AbortController().signal
beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('one that is silent is ended, one that is heard of is not', async () => {
  const turns = new FetchTurns({ nowMs: Date.now })
  const beganAtMs = Date.now()
  const ended: string[] = []
  const take = (name: string, receivedBytes: number, silentMs: (nowMs: number) => number) => {
    const fetch: FetchInTurn = { host: name, repository: 'app', mayGiveWay: true, receivedBytes, silentMs }
    return turns
      .take(
        fetch,
        NEVER,
        (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      )
      .catch((error: unknown) => {
        ended.push(name)
        return error
      })
  }
  const sinceBegin = (nowMs: number) => nowMs - beganAtMs
  const silent = take('silent', 10, sinceBegin)
  const early = take('early', 0, sinceBegin)
  void take('heard', 10, () => 500)
  await vi.advanceTimersByTimeAsync(19_500)
  expect(ended).toEqual([])
  await vi.advanceTimersByTimeAsync(1_000)
  expect(ended).toEqual(['silent'])
  expect(await silent).toBeInstanceOf(UpstreamUnavailableError)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(ended).toEqual(['silent', 'early'])
  expect(await early).toBeInstanceOf(UpstreamUnavailableError)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(ended).toHaveLength(2)
})

it('one that leaves while it waits takes nobody’s turn', async () => {
  const turns = new FetchTurns({ nowMs: Date.now })
  const fetchOf = (): FetchInTurn => ({
    host: 'one',
    repository: 'app',
    mayGiveWay: false,
    receivedBytes: 0,
    silentMs: () => 0,
  })
  const held = Array.from({ length: 8 }, () => Promise.withResolvers<void>())
  for (const { promise } of held) void turns.take(fetchOf(), NEVER, () => promise)
  const leave = new AbortController()
  const left = turns.take(fetchOf(), leave.signal, async () => 'never')
  const next = turns.take(fetchOf(), NEVER, async () => 'next')
  leave.abort(new Error('gone'))
  await expect(left).rejects.toThrow('gone')
  held[3]!.resolve()
  expect(await next).toBe('next')
  for (const { resolve } of held) resolve()
  await vi.advanceTimersByTimeAsync(0)
  expect(vi.getTimerCount()).toBe(0)
})
