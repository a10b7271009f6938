/** What the demo found, for people and for scripts. */
import Table from 'cli-table3'

export interface AgentReport {
  readonly name: string
  readonly seconds: number
  readonly fromPeers: number
  readonly fromSeeder: number
  readonly fromOrigin: number
}

export interface DockerReport {
  readonly ran: boolean
  /** What the container printed, or why there was none. */
  readonly said: string
}

/** All bytes and requests are counted from the end of the push to the end of the last pull. */
export type DemoReport =
  | {
      readonly ok: true
      readonly imageBytes: number
      readonly originReadBytes: number
      /** Reads; what the seeder looks up besides moves no layer. */
      readonly originRequests: number
      /** Until the last agent had the image. */
      readonly seconds: number
      readonly agents: readonly AgentReport[]
      readonly docker: DockerReport
    }
  | { readonly ok: false; readonly error: string }

export function formatReport(report: DemoReport): string {
  if (!report.ok) return `The demo failed: ${report.error}`
  const { agents, imageBytes, originReadBytes, originRequests, docker } = report
  const table = new Table({
    head: ['agent', 'seconds', 'from peers', 'from the seeder', 'from the origin'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  })
  for (const { name, seconds, fromPeers, fromSeeder, fromOrigin } of agents) {
    table.push([name, seconds.toFixed(1), megabytes(fromPeers), megabytes(fromSeeder), megabytes(fromOrigin)])
  }
  const sum = (of: (agent: AgentReport) => number) => agents.reduce((total, agent) => total + of(agent), 0)
  const all = sum(({ fromPeers, fromSeeder, fromOrigin }) => fromPeers + fromSeeder + fromOrigin)
  const fromPeers = sum((agent) => agent.fromPeers)
  return [
    table.toString(),
    `The image has ${megabytes(imageBytes)}; every agent checked every digest.`,
    `${((100 * fromPeers) / all).toFixed(0)}% of what the agents received came from other agents.`,
    `The seeder read ${megabytes(originReadBytes)} from the origin in ${originRequests} requests: ${(originReadBytes / imageBytes).toFixed(2)} × the image.`,
    docker.ran
      ? `Docker pulled the image from ${agents[0]?.name}, ran it, and it said: ${docker.said}`
      : `A real docker pull was left out: ${docker.said}.`,
  ].join('\n')
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}
