/** One client's pull from the agent beside it, timed; and a page of a service's metrics. */

import { call, pullImage } from '@shoal/registry-client'
import { type HttpClient, readShortBody } from '@shoal/service'
import { clockMs, type PullTimes, REPOSITORY } from './live-cluster.ts'

const PAGE_BYTES_MAX = 4 * 1024 ** 2

export interface PullFrom {
  readonly client: HttpClient
  readonly agentUrl: string
  readonly tag: string
  readonly signal: AbortSignal
  readonly onBytes: (bytes: number) => void
}

export async function timedPull({
  agentUrl: registryUrl,
  tag,
  client,
  signal,
  onBytes,
}: PullFrom): Promise<PullTimes> {
  const startedAtMs = clockMs()
  await pullImage({ client, registryUrl, repository: REPOSITORY, signal, onBytes }, tag)
  return { startedAtMs, endedAtMs: clockMs() }
}

export async function metricsText(
  serviceUrl: string,
  { client, signal }: { client: HttpClient; signal: AbortSignal },
): Promise<string> {
  const response = await call('GET', `${serviceUrl}/metrics`, [200], { client, signal })
  return (await readShortBody(response, PAGE_BYTES_MAX))?.toString() ?? ''
}
