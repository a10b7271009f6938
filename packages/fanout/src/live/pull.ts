/** One client's pull from the agent beside it, timed; and a page of a service's metrics. */

import { call, pullImage, readShortBody } from '@shoal/registry-client'
import type { Dispatcher } from 'undici'
import { clockMs, type PullTimes, REPOSITORY } from './live-cluster.ts'

const PAGE_BYTES_MAX = 4 * 1024 ** 2

export interface PullFrom {
  readonly dispatcher: Dispatcher
  readonly agentUrl: string
  readonly tag: string
  readonly signal: AbortSignal
  readonly onBytes: (bytes: number) => void
}

export async function timedPull({
  agentUrl: registryUrl,
  tag,
  dispatcher,
  signal,
  onBytes,
}: PullFrom): Promise<PullTimes> {
  const startedAtMs = clockMs()
  await pullImage({ dispatcher, registryUrl, repository: REPOSITORY, signal, onBytes }, tag)
  return { startedAtMs, endedAtMs: clockMs() }
}

export async function metricsText(
  serviceUrl: string,
  { dispatcher, signal }: { dispatcher: Dispatcher; signal: AbortSignal },
): Promise<string> {
  const response = await call('GET', `${serviceUrl}/metrics`, [200], { dispatcher, signal })
  return (await readShortBody(response, PAGE_BYTES_MAX))?.toString() ?? ''
}
