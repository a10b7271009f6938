/** Goal: who watches a push sees a bar for each layer under way and a line for each that is done; a log sees nothing. */
import { parseDigest } from '@shoal/core'
import type { BlobSource } from '@shoal/images'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { terminal } from '../testing/terminal.ts'
import { showPush } from './progress.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

const blob = (digit: string) =>
  ({ digest: parseDigest(`sha256:${digit.repeat(64)}`), sizeBytes: 20e6 }) as BlobSource

test.each([true, false])('where the terminal is one: %s', async (isTTY) => {
  const { stream, text } = terminal({ isTTY })
  const progress = showPush(stream)
  const [sent, skipped] = [blob('a'), blob('b')]
  progress.add(5e6, sent, 'sent')
  await vi.advanceTimersByTimeAsync(500)
  progress.add(15e6, sent, 'sent')
  progress.add(20e6, skipped, 'skipped')
  progress.stop()
  if (!isTTY) return expect(text()).toBe('')
  expect(text()).toMatch(/ a{12} .* 25 % {2}5\.0 MB of 20\.0 MB/)
  expect(text()).toContain(' aaaaaaaaaaaa 20.0 MB pushed\n')
  expect(text()).toContain(' bbbbbbbbbbbb 20.0 MB is there already\n')
})
