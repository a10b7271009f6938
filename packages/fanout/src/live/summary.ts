/** What a live fan-out came to, for people. Pure. */

import { megabytes } from '@shoal/settings'
import { type FanoutRun, quantile } from '../result.ts'

export function summaryText(
  { nodes, imageBytes, boundSeconds, runs }: FanoutRun,
  { isolation, linkBytesPerSecond }: { isolation: string; linkBytesPerSecond: number },
): string {
  const seconds = (value: number | null | undefined) => (value == null ? '–' : `${value.toFixed(2)} s`)
  const lines = [
    `${nodes} nodes (${isolation}) pulled ${megabytes(imageBytes)} at ${(linkBytesPerSecond * 8) / 1e6} Mbps; no node can be done before ${seconds(boundSeconds)}.`,
  ]
  for (const run of runs) {
    const last = run.finishSeconds.at(-1)
    const times = [0.5, 0.9, 0.99].map((share) => seconds(quantile(run.finishSeconds, share))).join(' / ')
    const factor = last === undefined ? '' : ` (${(last / boundSeconds).toFixed(2)} ×)`
    const end = run.timeline.at(-1)
    lines.push(
      `p50 / p90 / p99: ${times}; last: ${seconds(last)}${factor}; unfinished: ${run.unfinished}`,
      `origin: ${megabytes(run.originBytes)} (${(run.originBytes / imageBytes).toFixed(3)} × the image) in ${run.originRequests} requests; the seeder sent ${megabytes(run.seederSentBytes)}`,
    )
    if (end !== undefined)
      lines.push(
        `received from peers ${megabytes(end.peerBytes)}, from the seeder ${megabytes(end.seederBytes)}, from the origin ${megabytes(end.originBytes)}`,
      )
  }
  return lines.join('\n')
}
