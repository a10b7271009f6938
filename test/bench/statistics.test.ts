/** Goal: the numbers that benchmarks publish are made as the page says: medians, paired ratios, sizes read as written. */
import { describe, expect, it } from 'vitest'
import { bytesArgument, namesArgument } from './command-line.ts'
import { figuresOf, isMet, replaceFigures, reportText } from './report.ts'
import { median, pairedRatio, perGiB, spread } from './statistics.ts'

describe('a median', () => {
  it('is the value in the middle, or between the two in the middle', () => {
    expect(median([9, 1, 5])).toBe(5)
    expect(median([9, 1, 5, 6])).toBe(5.5)
    expect(median([7])).toBe(7)
  })

  it('of nothing is an error', () => {
    expect(() => median([])).toThrow(RangeError)
  })

  it('stands with the lowest and the highest', () => {
    expect(spread([3, 1.23456, 2])).toEqual({ median: 2, min: 1.235, max: 3 })
  })
})

describe('a ratio of runs in turn', () => {
  it('compares each run with its neighbour: a slow half hour does not count for one side only', () => {
    // The machine was ten times slower in the second and third rounds. The medians' quotient would be 10 ÷ 5.
    expect(pairedRatio([100, 10, 10], [25, 2.5, 5])).toBe(4)
  })

  it('is null when one side could not be measured', () => {
    expect(pairedRatio([100], undefined)).toBeNull()
    expect(pairedRatio(undefined, [100])).toBeNull()
    expect(pairedRatio([], [])).toBeNull()
  })
})

it('costs are told per GiB', () => {
  expect(perGiB(0.5, 2 ** 28)).toBe(2)
})

describe('arguments', () => {
  it('sizes are read as people write them', () => {
    expect(bytesArgument('64MiB')).toBe(67_108_864)
    expect(bytesArgument('1GiB')).toBe(2 ** 30)
    expect(() => bytesArgument('much')).toThrow('64MiB')
    expect(() => bytesArgument('0')).toThrow('64MiB')
  })

  it('names are known ones', () => {
    const parse = namesArgument(['native', 'webtorrent'])
    expect(parse('webtorrent, native')).toEqual(['webtorrent', 'native'])
    expect(() => parse('natif')).toThrow('native, webtorrent')
  })
})

describe('the page', () => {
  const machine = { cores: 2, memoryGB: 8, node: 'v24.0.0', platform: 'Linux' }
  const memory = { engine: 'native', blobs: 1000, idleRssMB: 80, seedingRssMB: 151, seederRssMB: 90 } as const

  it('says what is met, missed and not measured', () => {
    const figures = figuresOf({ memory })
    expect(figures.filter((figure) => isMet(figure)).map(({ measured }) => measured)).toEqual([80])
    expect(figures.filter((figure) => isMet(figure) === false).map(({ measured }) => measured)).toEqual([151])
    const text = reportText(machine, { memory })
    expect(text).toContain('| memory of an idle agent | ≤ 90 MB | 80 MB |')
    expect(text).toContain('| ≤ 150 MB | **151 MB**, missed |')
    expect(text).toContain('| native ÷ webtorrent, throughput | ≥ 4.0 | not measured |')
  })

  it('keeps what people wrote around the figures', () => {
    const page = 'a\n<!-- figures: written by npm run bench -->\nold\n<!-- end of figures -->\nb'
    const replaced = replaceFigures(page, 'new')
    expect(replaced).toMatch(/^a\n<!--.*-->\n\nnew\n\n<!--.*-->\nb$/)
    expect(replaceFigures(replaced, 'new')).toBe(replaced)
    expect(() => replaceFigures('no markers', 'new')).toThrow('figures')
  })
})
