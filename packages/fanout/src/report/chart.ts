/** A chart's frame: title, axes with units, legend; light and dark. Pure. */
import { type ScaleContinuousNumeric, scaleLinear, scaleLog } from 'd3-scale'
import { element, escaped, rounded, text } from './svg.ts'

const WIDTH = 760
const HEIGHT = 420
const LEFT = 64
const RIGHT = 20
const TOP = 64
const BOTTOM = 52

export type Scale = ScaleContinuousNumeric<number, number>

export interface Axis {
  readonly title: string
  readonly min: number
  readonly max: number
  readonly isLogarithmic?: boolean
  readonly format: (value: number) => string
}

export interface Series {
  readonly name: string
  /** 0…4 */
  readonly color: number
  readonly path: string
  readonly isArea?: boolean
}

/** Okabe and Ito's colours, which people who are colour-blind can tell apart; on light and on dark ground. */
const STYLE = `
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.axis { stroke: #8c959f; } .grid { stroke: #d0d7de; }
.line { fill: none; stroke-width: 2; }
.s0 { stroke: #0072b2; } .s1 { stroke: #d55e00; } .s2 { stroke: #009e73; } .s3 { stroke: #cc79a7; } .s4 { stroke: #e69f00; }
.a0 { fill: #0072b2; } .a1 { fill: #d55e00; } .a2 { fill: #009e73; } .a3 { fill: #cc79a7; } .a4 { fill: #e69f00; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .axis { stroke: #6e7681; } .grid { stroke: #30363d; }
  .s0 { stroke: #56b4e9; } .a0 { fill: #56b4e9; }
}`

export function scalesOf(x: Axis, y: Axis): { x: Scale; y: Scale } {
  const scale = (axis: Axis, range: [number, number]): Scale =>
    (axis.isLogarithmic ? scaleLog() : scaleLinear()).domain([axis.min, axis.max]).range(range)
  return { x: scale(x, [LEFT, WIDTH - RIGHT]), y: scale(y, [HEIGHT - BOTTOM, TOP]) }
}

export function chart(title: string, x: Axis, y: Axis, series: readonly Series[]): string {
  const scales = scalesOf(x, y)
  const [left, right, top, bottom] = [LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM]
  const parts = [text(title, { class: 'title', x: left, y: 24 })]
  for (const value of scales.y.ticks(5)) {
    const at = rounded(scales.y(value))
    parts.push(element('line', { class: 'grid', x1: left, x2: right, y1: at, y2: at }))
    parts.push(text(y.format(value), { x: left - 8, y: at + 4, 'text-anchor': 'end' }))
  }
  for (const value of ticksOf(x, scales.x)) {
    const at = rounded(scales.x(value))
    parts.push(element('line', { class: 'axis', x1: at, x2: at, y1: bottom, y2: bottom + 5 }))
    parts.push(text(x.format(value), { x: at, y: bottom + 20, 'text-anchor': 'middle' }))
  }
  parts.push(element('line', { class: 'axis', x1: left, x2: right, y1: bottom, y2: bottom }))
  parts.push(text(x.title, { x: (left + right) / 2, y: HEIGHT - 12, 'text-anchor': 'middle' }))
  const middle = (top + bottom) / 2
  parts.push(
    text(y.title, { x: 16, y: middle, 'text-anchor': 'middle', transform: `rotate(-90 16 ${middle})` }),
  )
  for (const { name, color, path, isArea } of series)
    parts.push(
      element('path', { class: isArea ? `a${color}` : `line s${color}`, d: path, 'data-name': name }),
    )
  let legendX = left
  for (const { name, color } of series) {
    parts.push(element('rect', { class: `a${color}`, x: legendX, y: 38, width: 12, height: 12 }))
    parts.push(text(name, { x: legendX + 18, y: 49 }))
    legendX += 40 + name.length * 8
  }
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element(
    'svg',
    { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img' },
    element('title', {}, escaped(title)),
    element('style', {}, STYLE),
    ...parts,
  )}\n`
}

/** A logarithmic axis has more ticks than there is room for. */
function ticksOf({ isLogarithmic }: Axis, scale: Scale): number[] {
  const ticks = scale.ticks(8)
  return isLogarithmic ? ticks.filter((tick) => /^[125]/.test(tick.toExponential())) : ticks
}
