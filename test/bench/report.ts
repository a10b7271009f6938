/** What the benchmarks' results say about the figures that Shoal must reach, as Markdown. Pure. */
import type { FanOutReport } from './fan-out.ts'
import type { MemoryReport } from './memory.ts'
import type { ServiceReport } from './service.ts'
import { perGiB, rounded, type Spread } from './statistics.ts'
import type { TransferReport } from './transfer.ts'

/** What was measured last, by benchmark. */
export interface Results {
  readonly transfer?: TransferReport
  readonly service?: ServiceReport
  readonly memory?: MemoryReport
  readonly fanOut?: FanOutReport
}

export interface Machine {
  readonly cores: number
  readonly memoryGB: number
  readonly node: string
  readonly platform: string
}

export interface Figure {
  readonly measure: string
  readonly mustBe: { readonly atLeast: number } | { readonly atMost: number }
  readonly unit?: 's' | 'MB' | 'ms'
  /** undefined where it was not measured, null where it could not be. */
  readonly measured: number | null | undefined
  readonly command: string
}

const TRANSFER = 'npm run bench:transfer'
const commandOf = (script: string) => `node test/bench/${script}.ts`

/** Every figure that something is promised of, in the order in which a reader asks. */
export function figuresOf({ transfer, service, memory, fanOut }: Results): Figure[] {
  const native = transfer?.rows.find(({ name }) => name === 'native')
  const cpu = (seconds: number | null | undefined) =>
    typeof seconds === 'number' && transfer ? perGiB(seconds, transfer.bytes) : seconds
  return [
    {
      measure: 'native ÷ webtorrent, throughput',
      mustBe: { atLeast: 4 },
      measured: transfer?.ratios['native/webtorrent'],
      command: TRANSFER,
    },
    {
      measure: 'native ÷ libtorrent, throughput',
      mustBe: { atLeast: 1.5 },
      measured: transfer?.ratios['native/libtorrent'],
      command: TRANSFER,
    },
    {
      measure: 'native ÷ `curl -o file` from nginx',
      mustBe: { atLeast: 0.9 },
      measured: transfer?.ratios['native/nginx'],
      command: TRANSFER,
    },
    {
      measure: 'CPU per GiB, receiver',
      mustBe: { atMost: 2 },
      unit: 's',
      measured: cpu(native?.receiverCpuSeconds),
      command: TRANSFER,
    },
    {
      measure: 'CPU per GiB, sender',
      mustBe: { atMost: 1 },
      unit: 's',
      measured: cpu(native?.senderCpuSeconds),
      command: TRANSFER,
    },
    {
      measure: 'peak memory, receiver',
      mustBe: { atMost: 150 },
      unit: 'MB',
      measured: native?.receiverPeakRssMB,
      command: TRANSFER,
    },
    {
      measure: 'peak memory, sender',
      mustBe: { atMost: 150 },
      unit: 'MB',
      measured: native?.senderPeakRssMB,
      command: TRANSFER,
    },
    {
      measure: 'through everything, `curl` from a cold agent ÷ docker-registry',
      mustBe: { atLeast: 0.8 },
      measured: service?.ratios['cold/docker-registry'],
      command: commandOf('service'),
    },
    {
      measure: 'the same blob from the warm agent ÷ docker-registry',
      mustBe: { atLeast: 1 },
      measured: service?.ratios['warm/docker-registry'],
      command: commandOf('service'),
    },
    {
      measure: 'first byte at a cold agent',
      mustBe: { atMost: 50 },
      unit: 'ms',
      measured: service?.firstByteMs.byDigest.median,
      command: commandOf('service'),
    },
    {
      measure: 'first byte at a cold agent, after the manifest',
      mustBe: { atMost: 50 },
      unit: 'ms',
      measured: service?.firstByteMs.afterManifest.median,
      command: commandOf('service'),
    },
    {
      measure: 'a 4 KB blob from a cold agent',
      mustBe: { atMost: 20 },
      unit: 'ms',
      measured: service?.smallBlobMs.median,
      command: commandOf('service'),
    },
    {
      measure: 'memory of an idle agent',
      mustBe: { atMost: 90 },
      unit: 'MB',
      measured: memory?.idleRssMB,
      command: commandOf('memory'),
    },
    {
      measure: `memory of an agent that seeds ${memory?.blobs ?? 1000} blobs`,
      mustBe: { atMost: 150 },
      unit: 'MB',
      measured: memory?.seedingRssMB,
      command: commandOf('memory'),
    },
    {
      measure: `one seeder to ${fanOut?.agents ?? 8} agents at once, delivered bytes/s, native ÷ webtorrent`,
      mustBe: { atLeast: 4 },
      measured: fanOut?.ratios['native/webtorrent'],
      command: commandOf('fan-out'),
    },
  ]
}

/** Whether the figure is as it must be; undefined when there is none. */
export function isMet({ mustBe, measured }: Figure): boolean | undefined {
  if (typeof measured !== 'number') return undefined
  return 'atLeast' in mustBe ? measured >= mustBe.atLeast : measured <= mustBe.atMost
}

/** Everything between the page's markers. */
export function reportText(machine: Machine, results: Results): string {
  const { cores, memoryGB, node, platform } = machine
  return [
    `Measured on ${cores} cores with ${memoryGB} GB of memory, ${platform}, Node ${node}.`,
    table(
      ['measure', 'must be', 'measured', 'command'],
      figuresOf(results).map((figure) => [
        figure.measure,
        boundText(figure),
        measuredText(figure),
        `\`${figure.command}\``,
      ]),
    ),
    'The same runs in absolute numbers; medians, with the lowest and the highest in brackets.',
    table(
      ['what', 'MB/s', 'CPU s/GiB: sender, receiver', 'peak MB: sender, receiver'],
      absoluteRows(results),
    ),
  ].join('\n\n')
}

const BEGIN = '<!-- figures: written by npm run bench -->'
const END = '<!-- end of figures -->'

/** @throws Error when the page does not have both markers */
export function replaceFigures(page: string, text: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`the page has no ${BEGIN} and ${END}`)
  return `${page.slice(0, begin + BEGIN.length)}\n\n${text}\n\n${page.slice(end)}`
}

function absoluteRows({ transfer, service, fanOut }: Results): string[][] {
  const number = (value: number | null | undefined, digits: number) => value?.toFixed(digits) ?? '–'
  const size = (bytes: number) => `${rounded(bytes / 2 ** 20)} MiB`
  const rows: string[][] = []
  for (const row of transfer?.rows ?? []) {
    const cpu = [row.senderCpuSeconds, row.receiverCpuSeconds].map((seconds) =>
      number(seconds === null ? null : perGiB(seconds, transfer!.bytes), 2),
    )
    const peaks = [row.senderPeakRssMB, row.receiverPeakRssMB].map((peak) => number(peak, 0))
    rows.push([
      `${row.name}, ${size(transfer!.bytes)}`,
      spreadText(row.mbPerSecond),
      cpu.join(', '),
      peaks.join(', '),
    ])
  }
  for (const row of service?.rows ?? []) {
    const { cpuSeconds, peakRssMB } = service!
    const isCold = row.name === 'cold'
    const cpu = [cpuSeconds.seeder, cpuSeconds.agent].map((seconds) =>
      number(perGiB(seconds, service!.bytes), 2),
    )
    const name = row.name === 'docker-registry' ? row.name : `${row.name} agent (${service!.engine})`
    rows.push([
      `curl from ${name}, ${size(service!.bytes)}`,
      spreadText(row.mbPerSecond),
      isCold ? cpu.join(', ') : '–',
      isCold ? `${number(peakRssMB.seeder, 0)}, ${number(peakRssMB.agent, 0)}` : '–',
    ])
  }
  for (const row of fanOut?.rows ?? []) {
    const name = `${fanOut!.agents} agents at once (${row.name}), ${size(fanOut!.bytes)} each`
    rows.push([name, spreadText(row.mbPerSecond), '–', '–'])
  }
  return rows
}

function boundText({ mustBe, unit }: Figure): string {
  const [sign, bound] = 'atLeast' in mustBe ? ['≥', mustBe.atLeast] : ['≤', mustBe.atMost]
  const isWhole = unit === 'MB' || unit === 'ms'
  return `${sign} ${isWhole ? bound : bound.toFixed(1)} ${unit ?? ''}`.trim()
}

function measuredText(figure: Figure): string {
  const { measured, unit } = figure
  if (measured === undefined) return 'not measured'
  if (measured === null) return 'cannot be measured here'
  const digits = unit === 'MB' ? 0 : unit === 'ms' ? 1 : 2
  const text = `${measured.toFixed(digits)} ${unit ?? ''}`.trim()
  return isMet(figure) ? text : `**${text}**, missed`
}

function spreadText({ median, min, max }: Spread): string {
  return `${median.toFixed(0)} (${min.toFixed(0)}–${max.toFixed(0)})`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
