/** What the demo found out, for scripts and for people. Pure. */

import { megabytes } from '@shoal/settings'
import Table from 'cli-table3'

/** Bytes and seconds as numbers; the JSON line has exactly these names. */
export type DemoReport = MeasuredReport | FailedReport

/** It ended before there was anything to measure. */
export interface FailedReport {
  readonly ok: false
  readonly error: string
}

export interface MeasuredReport {
  /** Every agent has the image, every digest was right, and so was Docker where it was there. */
  readonly ok: boolean
  /** Configuration and layers. */
  readonly imageBytes: number
  /** What the seeder read from the origin between the end of the push and the end of the last pull. */
  readonly originReadBytes: number
  /** All requests to the origin in that time: reads, and looking up what is there. */
  readonly originRequests: number
  /** From the moment at which all agents are asked until the last one is done. */
  readonly seconds: number
  readonly agents: readonly AgentReport[]
  readonly docker?: DockerReport
  /** Why `ok` is false. */
  readonly error?: string
}

export interface AgentReport {
  readonly name: string
  readonly seconds: number
  readonly fromPeers: number
  readonly fromSeeder: number
  readonly fromOrigin: number
  readonly error?: string
}

/** What a Docker Engine on this machine made of the image, or why it was not asked. */
export type DockerReport =
  | {
      readonly ok: true
      readonly engine: string
      readonly pull: string
      readonly pullSeconds: number
      readonly output: string
    }
  | { readonly ok: false; readonly engine: string; readonly error: string }
  | { readonly leftOut: string }

/** The table and the lines below it. */
export function reportText(report: DemoReport): string {
  return 'agents' in report ? measuredText(report) : `The demo failed: ${report.error}`
}

function measuredText(report: MeasuredReport): string {
  const { agents, imageBytes, originReadBytes, originRequests, seconds } = report
  const table = new Table({
    head: ['agent', 'seconds', 'from peers', 'from seeder', 'from origin', 'digests'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'left'],
    // Without colours: the table is also read in logs and files.
    style: { head: [], border: [] },
  })
  for (const agent of agents) {
    const { name, fromPeers, fromSeeder, fromOrigin, error } = agent
    const bytes = [fromPeers, fromSeeder, fromOrigin].map(megabytes)
    table.push([name, agent.seconds.toFixed(2), ...bytes, error === undefined ? 'all right' : 'FAILED'])
  }
  const total = (bytesOf: (agent: AgentReport) => number) =>
    agents.reduce((sum, one) => sum + bytesOf(one), 0)
  const peers = total(({ fromPeers }) => fromPeers)
  const all = peers + total(({ fromSeeder, fromOrigin }) => fromSeeder + fromOrigin)
  table.push([
    'all',
    seconds.toFixed(2),
    megabytes(peers),
    megabytes(total(({ fromSeeder }) => fromSeeder)),
    megabytes(total(({ fromOrigin }) => fromOrigin)),
    agents.every(({ error }) => error === undefined) ? 'all right' : 'FAILED',
  ])
  const multiple = imageBytes === 0 ? '?' : (originReadBytes / imageBytes).toFixed(2)
  const share = all === 0 ? 0 : (100 * peers) / all
  const lines = [
    table.toString(),
    `Image: ${megabytes(imageBytes)}, pulled by ${agents.length} agents in ${seconds.toFixed(2)} s, ${megabytes(all / Math.max(seconds, 0.001))}/s together.`,
    `${share.toFixed(1)} % of all bytes came from peers.`,
    `The seeder read ${megabytes(originReadBytes)} from the origin, ${multiple} × the image, in ${originRequests} requests.`,
  ]
  for (const { name, error } of agents) if (error !== undefined) lines.push(`${name} failed: ${error}`)
  if (report.docker !== undefined) lines.push(dockerText(report.docker))
  if (report.error !== undefined) lines.push(`Failed: ${report.error}`)
  return lines.join('\n')
}

function dockerText(docker: DockerReport): string {
  if ('leftOut' in docker) return `Docker: left out; ${docker.leftOut}.`
  if (!docker.ok) return `Docker Engine ${docker.engine}: FAILED: ${docker.error}`
  return `Docker Engine ${docker.engine}: docker pull ${docker.pull} took ${docker.pullSeconds.toFixed(2)} s; docker run said "${docker.output}".`
}
