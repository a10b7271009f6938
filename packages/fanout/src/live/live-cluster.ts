/** What a live fan-out needs of a cluster, however its nodes are kept apart. */
import type { Cleanup } from '../processes/cleanup.ts'
import type { MetricsPage } from '../processes/metrics-page.ts'

export const REPOSITORY = 'fanout/image'
export const TAG = '1'
/** A small image that every node pulls before anything is measured: agents of a cluster have pulled before. */
export const WARM_UP_TAG = 'warm-up'

/** Agents at a time: their start is the busiest moment of their life, and a crowd of them would miss time limits. */
export const STARTS_AT_ONCE = 8

export interface LiveCluster {
  readonly nodes: readonly LiveNode[]
  readSeederMetrics(signal: AbortSignal): Promise<MetricsPage>
}

export interface LiveNode {
  readonly name: string
  /** The registry that clients on this node pull from; an address on the node's own loopback. */
  readonly agentUrl: string
  /**
   * Pulls the image as a client on this node does.
   * @param onBytes told as bytes of blobs arrive
   */
  pull(tag: string, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<PullTimes>
  readMetrics(signal: AbortSignal): Promise<MetricsPage>
}

/** Milliseconds since 1970 with fractions, `performance.timeOrigin + performance.now()`: the same clock in every process. */
export interface PullTimes {
  readonly startedAtMs: number
  readonly endedAtMs: number
}

export interface LiveClusterInit {
  /** How to run `shoal`: program and first arguments. */
  readonly shoal: readonly string[]
  readonly nodeCount: number
  /** Both ways, of every node and of the seeder. */
  readonly linkBytesPerSecond: number
  /** Of this cluster's own; the origin in it holds the image already. */
  readonly folder: string
  readonly origin: string
  readonly cleanup: Cleanup
  /** Told when a process ends unasked. */
  readonly onFailed: (error: Error) => void
  readonly onStarted: (name: string) => void
  readonly signal: AbortSignal
}

/** Resolves when all agents are started, connected to the tracker or not. What it began is in `init.cleanup`. */
export type StartLiveCluster = (init: LiveClusterInit) => Promise<LiveCluster>

export function nodeNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `node-${index + 1}`)
}

export function clockMs(): number {
  return performance.timeOrigin + performance.now()
}

/** Addresses of a service on this machine; the system chooses the ports. */
export const LOOPBACK = ['--listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0']

/** Limits of a service that shapes its own traffic. */
export function limiterFlags(linkBytesPerSecond: number): string[] {
  const bytesPerSecond = limiterText(linkBytesPerSecond)
  return ['--upload-bytes-per-second', bytesPerSecond, '--download-bytes-per-second', bytesPerSecond]
}

/** As settings have it: whole bytes per second. */
export function limiterText(linkBytesPerSecond: number): string {
  return String(Math.floor(linkBytesPerSecond))
}
