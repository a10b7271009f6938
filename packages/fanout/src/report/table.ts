/** What people read of a run: a line per strategy. Pure. */
import type { StrategyRun } from '@shoal/simulator'
import Table from 'cli-table3'
import { type FanoutRun, quantile } from '../result.ts'

const SHARES = [0.5, 0.9, 0.99, 1]

export function tableOf(run: FanoutRun): string {
  const hasZones = run.runs.some(({ crossZoneBytes }) => crossZoneBytes.length > 1)
  const table = new Table({
    head: [
      'strategy',
      'p50',
      'p90',
      'p99',
      'last',
      'unfinished',
      'origin',
      ...(hasZones ? ['into each zone'] : []),
      'seeder sends, peak',
      'sent ÷ wanted',
    ],
    style: { head: [], border: [] },
  })
  for (const one of run.runs) table.push(rowOf(run, one, hasZones))
  const bound = `${run.nodes} nodes · ${megabytes(run.imageBytes)} · the bound is ${seconds(run.boundSeconds)}`
  return `${table.toString()}\n${bound}`
}

function rowOf(run: FanoutRun, one: StrategyRun, hasZones: boolean): string[] {
  const { imageBytes, boundSeconds, nodes } = run
  const last = one.finishSeconds.at(-1)
  const times = SHARES.map((share) => {
    const time = quantile(one.finishSeconds, share)
    return time === null ? '–' : `${seconds(time)}\n${(time / boundSeconds).toFixed(2)} ×`
  })
  return [
    one.strategy,
    ...times,
    String(one.unfinished),
    `${(one.originBytes / imageBytes).toFixed(2)} ×\n${one.originRequests} requests`,
    ...(hasZones
      ? [one.crossZoneBytes.map((bytes) => `${(bytes / imageBytes).toFixed(2)} ×`).join('\n')]
      : []),
    `${last === undefined ? '–' : rate(one.seederSentBytes / last)}\n${rate(one.seederPeakBytesPerSecond)}`,
    `${(one.swarmSentBytes / (nodes * imageBytes)).toFixed(3)} ×`,
  ]
}

function seconds(value: number): string {
  return value >= 100 ? `${value.toFixed(0)} s` : `${value.toPrecision(3)} s`
}

function megabytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`
}

function rate(bytesPerSecond: number): string {
  return `${megabytes(bytesPerSecond)}/s`
}
