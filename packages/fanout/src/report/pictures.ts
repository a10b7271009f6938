/** A run as pictures: when the nodes finished, how many had by when, and who sent the bytes. Pure. */

import type { StrategyRun, TimelinePoint } from '@shoal/simulator'
import { area, curveStepAfter, line, stack } from 'd3-shape'
import type { FanoutRun } from '../result.ts'
import { type Axis, chart, scalesOf } from './chart.ts'
import { rounded } from './svg.ts'

/** Where the slowest strategy takes so many times as long as the fastest, times are drawn on a logarithmic axis. */
const LOGARITHMIC_FROM = 4
const SOURCES = ['peers', 'seeder', 'origin'] as const

/** @returns files by name */
export function picturesOf(run: FanoutRun, title: string): ReadonlyMap<string, string> {
  const pictures = new Map([
    ['cdf.svg', cdf(run, title)],
    ['completed.svg', completed(run, title)],
  ])
  for (const one of run.runs) pictures.set(`bytes-${one.strategy}.svg`, bytes(run, one, title))
  return pictures
}

function cdf(run: FanoutRun, title: string): string {
  const times = run.runs.flatMap(({ finishSeconds }) => finishSeconds)
  const x = timeAxis(run, times, 'time since the node asked, in multiples of the bound')
  const y: Axis = {
    title: 'nodes finished',
    min: 0,
    max: 1,
    format: (share) => `${Math.round(share * 100)} %`,
  }
  const scales = scalesOf(x, y)
  const series = run.runs.map(({ strategy, finishSeconds }, color) => {
    const points = finishSeconds.map((time, place): [number, number] => [
      time / run.boundSeconds,
      (place + 1) / run.nodes,
    ])
    const first: [number, number] = [Math.max(x.min, points[0]?.[0] ?? x.min), 0]
    const path = line<[number, number]>()
      .x(([at]) => rounded(scales.x(at)))
      .y(([, share]) => rounded(scales.y(share)))
      .curve(curveStepAfter)
    return { name: strategy, color, path: path([first, ...points]) ?? '' }
  })
  return chart(`${title}: finish times`, x, y, series)
}

function completed(run: FanoutRun, title: string): string {
  const times = run.runs.flatMap(({ timeline }) => timeline.slice(1).map(({ atSeconds }) => atSeconds))
  const x = timeAxis(run, times, 'time, in multiples of the bound')
  const y: Axis = { title: 'nodes finished', min: 0, max: run.nodes, format: (count) => String(count) }
  const scales = scalesOf(x, y)
  const series = run.runs.map(({ strategy, timeline }, color) => {
    const path = line<TimelinePoint>()
      .x(({ atSeconds }) => rounded(scales.x(Math.max(x.min, atSeconds / run.boundSeconds))))
      .y(({ completedNodes }) => rounded(scales.y(completedNodes)))
      .curve(curveStepAfter)
    return { name: strategy, color, path: path(timeline) ?? '' }
  })
  return chart(`${title}: completed nodes`, x, y, series)
}

function bytes(run: FanoutRun, { strategy, timeline }: StrategyRun, title: string): string {
  const whole = run.nodes * run.imageBytes
  const x: Axis = {
    title: 'time, in multiples of the bound',
    min: 0,
    max: Math.max(1, (timeline.at(-1)?.atSeconds ?? 0) / run.boundSeconds),
    format: times,
  }
  const y: Axis = {
    title: 'of all bytes wanted',
    min: 0,
    max: Math.max(1, ...timeline.map((at) => (at.peerBytes + at.seederBytes + at.originBytes) / whole)),
    format: (share) => `${Math.round(share * 100)} %`,
  }
  const scales = scalesOf(x, y)
  const layers = stack<TimelinePoint, (typeof SOURCES)[number]>()
    .keys(SOURCES)
    .value(
      (at, source) =>
        at[source === 'peers' ? 'peerBytes' : source === 'seeder' ? 'seederBytes' : 'originBytes'],
    )
  const series = layers([...timeline]).map((layer, color) => {
    const path = area<(typeof layer)[number]>()
      .x(({ data }) => rounded(scales.x(data.atSeconds / run.boundSeconds)))
      .y0(([from]) => rounded(scales.y(from / whole)))
      .y1(([, to]) => rounded(scales.y(to / whole)))
    return { name: layer.key, color, isArea: true, path: path(layer) ?? '' }
  })
  return chart(`${title}: ${strategy}, bytes by who sent them`, x, y, series)
}

function timeAxis(run: FanoutRun, seconds: readonly number[], title: string): Axis {
  let [least, most] = [Number.POSITIVE_INFINITY, 0]
  for (const time of seconds) {
    least = Math.min(least, time / run.boundSeconds)
    most = Math.max(most, time / run.boundSeconds)
  }
  if (most === 0) [least, most] = [1, 2]
  const slowest = Math.max(...run.runs.map(({ finishSeconds }) => finishSeconds.at(-1) ?? 0))
  const fastest = Math.min(
    ...run.runs.map(({ finishSeconds }) => finishSeconds.at(-1) ?? Number.POSITIVE_INFINITY),
  )
  const isLogarithmic = slowest / fastest > LOGARITHMIC_FROM
  return {
    title,
    min: isLogarithmic ? Math.max(0.1, least * 0.9) : 0,
    max: most * 1.02,
    isLogarithmic,
    format: times,
  }
}

function times(value: number): string {
  return `${Number(value.toPrecision(3))} ×`
}
