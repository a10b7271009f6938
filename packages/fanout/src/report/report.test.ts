/**
 * Goal: a run is shown as it was. Method: a small run by hand; the pictures are read as XML.
 */

import type { StrategyRun } from '@shoal/simulator'
import { describe, expect, it } from 'vitest'
import type { FanoutRun } from '../result.ts'
import { picturesOf } from './pictures.ts'
import { escaped } from './svg.ts'
import { tableOf } from './table.ts'

const strategy = (name: string, finishSeconds: number[], more: Partial<StrategyRun> = {}): StrategyRun => ({
  strategy: name,
  finishSeconds,
  unfinished: 0,
  originBytes: 5e8,
  originRequests: 7,
  crossZoneBytes: [0],
  seederSentBytes: 1e9,
  swarmSentBytes: 4.04e9,
  seederPeakBytesPerSecond: 1.2e9,
  timeline: [0, 1, 2].map((atSeconds) => ({
    atSeconds,
    completedNodes: 2 * atSeconds,
    peerBytes: 1.5e9 * atSeconds,
    seederBytes: 5e8 * atSeconds,
    originBytes: 0,
  })),
  ...more,
})
const run: FanoutRun = {
  nodes: 4,
  imageBytes: 1e9,
  boundSeconds: 1,
  seed: 3,
  runs: [strategy('shoal', [1, 1.1, 1.2, 2]), strategy('registry', [4, 4, 4, 16])],
}

describe('the table', () => {
  it('has times in seconds and as multiples of the bound, and what was sent', () => {
    const text = tableOf(run)
    for (const part of ['shoal', '1.10 ×', '2.00 ×', '0.50 ×', '7 requests', '500.0 MB/s', '1.010 ×'])
      expect(text).toContain(part)
    expect(text).not.toContain('into each zone')
  })

  it('has the zones where there are several, and a dash where nobody finished', () => {
    const text = tableOf({
      ...run,
      runs: [strategy('x', [], { crossZoneBytes: [0, 1.25e9], unfinished: 4 })],
    })
    expect(text).toContain('1.25 ×')
    expect(text).toContain('–')
  })
})

describe('the pictures', () => {
  const pictures = picturesOf(run, 'a < b & "c"')

  it('are one file each', () => {
    expect([...pictures.keys()]).toEqual([
      'cdf.svg',
      'completed.svg',
      'bytes-shoal.svg',
      'bytes-registry.svg',
    ])
  })

  it.each([...pictures])('%s is well-formed, with a path for each series and its name', (_name, svg) => {
    const open: string[] = []
    for (const [, slash, tag, selfClosing] of svg.matchAll(/<(\/?)([a-z]+)(?:\s[^<>]*?)?(\/?)>/g)) {
      if (slash) expect(open.pop()).toBe(tag)
      else if (!selfClosing) open.push(tag!)
    }
    expect(open).toEqual([])
    const names = [...svg.matchAll(/data-name="([^"]+)"/g)].map(([, name]) => name)
    expect(names.length).toBeGreaterThan(1)
    for (const name of names) expect(svg).toContain(`>${name}</text>`)
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
    expect(svg).toContain(escaped('a < b & "c"'))
  })

  it('are the same bytes for the same run', () => {
    expect([...picturesOf(run, 'a < b & "c"')]).toEqual([...pictures])
  })

  it('stand it when nobody has finished', () => {
    const nobody = { ...run, runs: [strategy('x', [], { timeline: [] })] }
    for (const svg of picturesOf(nobody, 'nobody').values()) expect(svg).not.toMatch(/NaN|Infinity/)
  })
})
