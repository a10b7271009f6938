import { describe, expect, it } from 'vitest'
import { formatBitRate, parseBitRate } from './bit-rate-text.ts'
import { parseDurationMs } from './duration-text.ts'

describe('the speed of a link', () => {
  it.each([
    ['20Mbps', 20e6],
    ['10Gbps', 10e9],
    ['1.5 mbps', 1.5e6],
    ['800kbps', 800e3],
    ['9bps', 9],
  ])('%s is %d bits per second', (text, bits) => {
    expect(parseBitRate(text)).toBe(bits)
    expect(parseBitRate(formatBitRate(bits))).toBe(bits)
  })

  it.each(['', '20', '20MB', '20MBps/s', '-1Mbps', 'Mbps', '1e9bps', '1.Mbps'])('%j is none', (text) => {
    expect(parseBitRate(text)).toBeUndefined()
  })
})

describe('a duration', () => {
  it.each([
    ['10m', 600_000],
    ['90s', 90_000],
    ['1.5h', 5_400_000],
    ['250ms', 250],
  ])('%s is %d milliseconds', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms)
  })

  it.each(['', '10', 'm', '-5s', '10 days', '1e3s'])('%j is none', (text) => {
    expect(parseDurationMs(text)).toBeUndefined()
  })
})
