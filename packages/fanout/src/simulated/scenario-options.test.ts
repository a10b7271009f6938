import { DEFAULT_SCENARIO } from '@shoal/simulator'
import { describe, expect, it } from 'vitest'
import { FanoutOptionError } from './errors.ts'
import { listScenarios, readScenario } from './scenario-files.ts'
import { scenarioOf } from './scenario-options.ts'

const given = (...options: [name: string, text: string][]) =>
  options.map(([name, text]) => ({ name, text, from: `--${name}` }))

describe('a scenario from words', () => {
  it('is the usual one when nothing is said', () => {
    expect(scenarioOf([])).toEqual(DEFAULT_SCENARIO)
  })

  it('is what is said', () => {
    const scenario = scenarioOf(
      given(
        ['nodes', '20'],
        ['image-size', '1GiB,200KB'],
        ['link', '10Gbps'],
        ['zones', '3'],
        ['cross-zone-link', '300MB/s'],
        ['arrivals', 'waves:20%'],
        ['slow', '5%@0.1'],
        ['die', '10%'],
        ['seeder-dies-at', '30%'],
        ['cold-origin', 'true'],
        ['seed', '7'],
      ),
    )
    expect(scenario).toMatchObject({
      nodes: 20,
      layers: [2 ** 30, 200_000],
      linkBytesPerSecond: 1.25e9,
      seederLinkBytesPerSecond: 1.25e9,
      zones: { count: 3, crossBytesPerSecond: 300e6 },
      arrivals: { kind: 'waves', share: 0.2 },
      slow: { share: 0.05, factor: 0.1 },
      dying: 0.1,
      seederDiesAt: 0.3,
      coldOrigin: true,
      seed: 7,
    })
  })

  it('takes what was said last', () => {
    expect(scenarioOf(given(['nodes', '20'], ['nodes', '30'])).nodes).toBe(30)
  })

  it.each([
    ['nodes', '0'],
    ['nodes', '1e3'],
    ['image-size', '1GiB,'],
    ['image-size', '-1'],
    ['link', '10'],
    ['link', '0bps'],
    ['latency', '1'],
    ['zones', '17'],
    ['arrivals', 'waves:0%'],
    ['arrivals', 'soon'],
    ['slow', '5%'],
    ['slow', '5%@0'],
    ['die', '101%'],
    ['cold-origin', 'yes'],
    ['seed', '1.5'],
  ])('says what is allowed instead of %s %s', (name, text) => {
    expect(() => scenarioOf(given([name, text]))).toThrow(FanoutOptionError)
    expect(() => scenarioOf(given([name, text]))).toThrow(new RegExp(`--${name}.*allowed`, 's'))
  })

  it('says which option may have been meant', () => {
    expect(() => scenarioOf(given(['nods', '3']))).toThrow(/nodes/)
  })

  it('leaves somebody to pull, and is over within a week', () => {
    expect(() => scenarioOf(given(['die', '60%'], ['black-holes', '40%']))).toThrow(/somebody/)
    expect(() => scenarioOf(given(['image-size', '1TB'], ['link', '1kbps']))).toThrow(/week/)
  })
})

describe('the scenarios that come along', () => {
  it('can all be read, each with a word on what it is', async () => {
    const scenarios = await listScenarios()
    expect(scenarios.length).toBeGreaterThanOrEqual(14)
    for (const { name, description } of scenarios) {
      expect(description).not.toBe('')
      expect(scenarioOf(await readScenario(name)).nodes).toBeGreaterThan(0)
    }
  })
})
