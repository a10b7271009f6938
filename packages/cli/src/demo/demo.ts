/**
 * The demo: a seeder and agents on this machine, a real image, one push, everybody's pull at the same moment, and what it
 * took. Leaves nothing behind, however it ends.
 */

import { showProgress } from '@shoal/fanout/live'
import { Cleanup, type MetricsPage, readMetrics, withTimeLimit } from '@shoal/fanout/processes'
import type { Image } from '@shoal/images'
import { openConnections, pullImage, pushImage } from '@shoal/registry-client'
import type { HttpClient } from '@shoal/service'
import { megabytes } from '@shoal/settings'
import { type Cluster, type ClusterNode, makeFolder, startCluster } from './cluster.ts'
import { buildDemoImage, type DemoImage, REPOSITORY, TAG } from './demo-image.ts'
import { tryDocker } from './docker-engine.ts'
import { DemoImageError, DemoTimeoutError } from './errors.ts'
import { type AgentReport, type DemoReport, type MeasuredReport, reportText } from './report.ts'

export interface DemoOptions {
  readonly agents: number
  /** At least. */
  readonly imageBytes: number
  readonly json: boolean
  readonly keep: boolean
  /** How to run `shoal`: program and first arguments. */
  readonly shoal: readonly string[]
}

export interface DemoStreams {
  /** The result. */
  readonly out: NodeJS.WritableStream
  /** What happens until then. */
  readonly err: NodeJS.WriteStream
}

const START_TIMEOUT_MS = 90_000
/** A floor that even a busy, slow machine does not fall below, plus what a start costs. */
const transferLimitMs = (bytes: number) => 120_000 + bytes / 1_000

/** @param signal aborts on Ctrl-C; then everything is ended before this resolves */
export async function runDemo(
  options: DemoOptions,
  streams: DemoStreams,
  signal: AbortSignal,
): Promise<DemoReport> {
  const cleanup = new Cleanup()
  const ending = new AbortController()
  const client = openConnections()
  cleanup.add({ name: 'connections', end: () => client.close() })
  const demo: Demo = {
    options,
    streams,
    cleanup,
    client,
    fail: (error) => ending.abort(error),
    signal: AbortSignal.any([signal, ending.signal]),
  }
  let report: DemoReport
  try {
    report = await demonstrate(demo)
  } catch (error) {
    report = { ok: false, error: error instanceof Error ? error.message : String(error) }
    if (options.json) streams.out.write(`${JSON.stringify(report)}\n`)
    else streams.err.write(`${reportText(report)}\n`)
  }
  for (const failure of await cleanup.run()) streams.err.write(`could not clean up ${failure}\n`)
  return report
}

interface Demo {
  readonly options: DemoOptions
  readonly streams: DemoStreams
  readonly cleanup: Cleanup
  readonly client: HttpClient
  readonly signal: AbortSignal
  fail(error: Error): void
}

async function demonstrate(demo: Demo): Promise<DemoReport> {
  const { options, streams, signal, client } = demo
  const say = (text: string) => streams.err.write(`${text}\n`)

  say('Building an image from the Node and the libraries of this machine …')
  const built = await buildDemoImage(options.imageBytes, signal)
  const { image } = built
  say(`${REPOSITORY}:${TAG} has ${image.layers.length} layers and ${megabytes(image.contentBytes)}.`)

  const agentCount = options.agents
  const folder = await makeFolder(demo.cleanup, { imageBytes: image.contentBytes, agentCount })
  say(`Starting a seeder and ${agentCount} agents …`)
  const cluster = await withTimeLimit(
    { Timeout: DemoTimeoutError, doing: 'the start', limitMs: START_TIMEOUT_MS, signal },
    (limited) =>
      startCluster({
        shoal: options.shoal,
        agentCount,
        folder,
        cleanup: demo.cleanup,
        onFailed: demo.fail,
        signal: limited,
      }),
  )

  say(`Pushing to the seeder at ${cluster.seeder.url} …`)
  await push(demo, cluster.seeder, image)
  const originBefore = await readMetrics(cluster.seeder.url, { client, signal })

  say(`${agentCount} agents pull at the same moment …`)
  const startedAtMs = performance.now()
  const pulls = await pullEverywhere(demo, cluster.agents, image)
  const seconds = secondsSince(startedAtMs)
  const originAfter = await readMetrics(cluster.seeder.url, { client, signal })

  const measured: MeasuredReport = {
    ok: pulls.every(({ error }) => error === undefined),
    imageBytes: image.contentBytes,
    originReadBytes: grown('shoal_seeder_origin_read_bytes_total', originBefore, originAfter),
    originRequests: grown('shoal_seeder_origin_requests_total', originBefore, originAfter),
    seconds,
    agents: pulls,
  }
  const report = measured.ok ? await withDocker(demo, measured, cluster, built) : measured
  if (options.json) say(reportText(report))
  else streams.out.write(`${reportText(report)}\n`)
  if (options.json) streams.out.write(`${JSON.stringify(report)}\n`)
  if (options.keep) await keepRunning(demo, cluster)
  return report
}

async function push({ streams, client, signal }: Demo, seeder: ClusterNode, image: Image): Promise<void> {
  const limitMs = transferLimitMs(image.contentBytes)
  const progress = showProgress(
    { title: 'push', names: ['push'], totalBytes: image.contentBytes },
    streams.err,
  )
  try {
    await withTimeLimit({ Timeout: DemoTimeoutError, doing: 'the push', limitMs, signal }, (limited) =>
      pushImage(
        {
          client,
          registryUrl: seeder.url,
          repository: REPOSITORY,
          signal: limited,
          onBytes: (bytes) => progress.add('push', bytes),
        },
        TAG,
        image,
      ),
    )
    progress.done('push', 'done')
  } finally {
    progress.stop()
  }
}

async function pullEverywhere(
  demo: Demo,
  agents: readonly ClusterNode[],
  image: Image,
): Promise<AgentReport[]> {
  const { contentBytes } = image
  const limitMs = transferLimitMs(contentBytes * agents.length)
  const names = agents.map(({ name }) => name)
  const progress = showProgress({ title: 'pull', names, totalBytes: contentBytes }, demo.streams.err)

  const pull = async (agent: ClusterNode, signal: AbortSignal): Promise<AgentReport> => {
    const { client } = demo
    const { name, url: registryUrl } = agent
    const startedAtMs = performance.now()
    const onBytes = (bytes: number) => progress.add(name, bytes)
    const failure = await pullImage({ client, registryUrl, repository: REPOSITORY, signal, onBytes }, TAG)
      .then(({ digest }) => {
        if (digest !== image.manifest.digest) throw new DemoImageError(name, image.manifest.digest, digest)
      })
      .catch((error: unknown) => {
        // One agent that fails is a result; an end of the whole demo is not.
        signal.throwIfAborted()
        return { error: error instanceof Error ? error.message : String(error) }
      })
    const seconds = secondsSince(startedAtMs)
    progress.done(name, failure === undefined ? 'done' : 'failed')
    const page = await readMetrics(registryUrl, { client, signal })
    const from = (source: string) => page.sum('shoal_agent_received_bytes_total', { source })
    const bytes = { fromPeers: from('peer'), fromSeeder: from('seeder'), fromOrigin: from('origin') }
    return { name, seconds, ...bytes, ...failure }
  }
  try {
    return await withTimeLimit(
      { Timeout: DemoTimeoutError, doing: 'the pull', limitMs, signal: demo.signal },
      (limited) => Promise.all(agents.map((agent) => pull(agent, limited))),
    )
  } finally {
    progress.stop()
  }
}

async function withDocker(
  demo: Demo,
  report: MeasuredReport,
  { agents }: Cluster,
  { image, greeting, runs }: DemoImage,
): Promise<MeasuredReport> {
  const { cleanup, signal } = demo
  const reference = `${agents[0]!.listen}/${REPOSITORY}:${TAG}`
  const limitMs = transferLimitMs(image.contentBytes)
  const docker = await tryDocker({ reference, greeting, runs, limitMs, cleanup, signal })
  const hasFailed = 'ok' in docker && !docker.ok
  return { ...report, docker, ...(hasFailed && { ok: false, error: docker.error }) }
}

async function keepRunning({ streams, signal }: Demo, { seeder, agents }: Cluster): Promise<void> {
  const say = (text: string) => streams.err.write(`${text}\n`)
  say('\nEverything keeps running until Ctrl-C. Pull from any agent:')
  for (const { listen } of agents) say(`  docker pull ${listen}/${REPOSITORY}:${TAG}`)
  say('Push something of your own, and pull it from an agent:')
  say(`  docker push ${seeder.listen}/NAME:TAG`)
  say(`Look around: ${seeder.url}/metrics, ${agents[0]!.url}/metrics`)
  // A promise does not keep a process alive by itself; the children's pipes do.
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

function grown(name: string, before: MetricsPage, after: MetricsPage): number {
  return after.sum(name) - before.sum(name)
}

function secondsSince(startedAtMs: number): number {
  return Math.round(performance.now() - startedAtMs) / 1000
}
