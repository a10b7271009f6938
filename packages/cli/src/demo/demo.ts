/**
 * The whole path on one machine: a seeder, some agents, a real image pushed once and pulled by all agents at the same
 * moment. Leaves nothing behind, however it ends.
 */

import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tryDocker } from './docker.ts'
import { buildDemoImage, type DemoImage } from './image.ts'
import { readMetrics } from './metrics-reader.ts'
import { showProgress } from './progress.ts'
import { pullImage, pushImage } from './registry-client.ts'
import { type AgentReport, type DemoReport, formatReport } from './report.ts'
import { type ServiceProcess, startService } from './service-process.ts'

export interface DemoOptions {
  readonly agents: number
  /** The image has this many bytes at least; it has those of Node in any case. */
  readonly imageBytes: number
  /** Prints nothing on standard output but one line of JSON. */
  readonly json: boolean
  /** Leaves everything running until the signal aborts. */
  readonly keep: boolean
  /** The command and arguments that start `shoal`. */
  readonly shoal: readonly string[]
}

const REPOSITORY = 'demo/app'
const TAG = '1'
const LOOPBACK = ['--listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0', '--log-level', 'warn']
/** A pull that takes longer has hung. */
const PULL_TIMEOUT_MS = 15 * 60_000

export async function runDemo(options: DemoOptions, signal: AbortSignal): Promise<DemoReport> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-demo-'))
  const removeNow = () => rmSync(folder, { recursive: true, force: true })
  process.once('exit', removeNow)
  const services: ServiceProcess[] = []
  let report: DemoReport
  try {
    report = await run(options, folder, services, signal)
    print(options, report)
    if (options.keep && !signal.aborted) await keep(services, signal)
  } catch (error) {
    report = { ok: false, error: signal.aborted ? 'it was interrupted' : messageOf(error) }
    print(options, report)
  } finally {
    await Promise.all(services.map((service) => service.stop()))
    await rm(folder, { recursive: true, force: true })
    process.off('exit', removeNow)
  }
  return report
}

async function run(
  options: DemoOptions,
  folder: string,
  services: ServiceProcess[],
  signal: AbortSignal,
): Promise<DemoReport> {
  const start = async (name: string, args: readonly string[]) => {
    const service = await startService(name, options.shoal, args)
    services.push(service)
    signal.throwIfAborted()
    return service
  }
  say(`Starting a seeder and ${options.agents} agents …`)
  const seeder = await start('seeder', [
    'seeder',
    ...LOOPBACK,
    '--data',
    join(folder, 'seeder'),
    '--origin',
    join(folder, 'origin'),
  ])
  const names = Array.from({ length: options.agents }, (_, i) => `agent-${i + 1}`)
  const settled = await Promise.allSettled(
    names.map((name) =>
      start(name, [
        'agent',
        ...LOOPBACK,
        '--seeder',
        seeder.url,
        '--cache',
        join(folder, name),
        '--name',
        name,
      ]),
    ),
  )
  const agents = settled.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  })
  const crashed = Promise.race(services.map(({ ended }) => ended))

  say('Building an image from what is on this machine …')
  const image = await buildDemoImage({ folder, imageBytes: options.imageBytes })
  say(`Pushing ${(image.totalBytes / 1e6).toFixed(1)} MB in ${image.layers.length} layers …`)
  const address = { repository: REPOSITORY, tag: TAG }
  await Promise.race([pushImage({ registry: seeder.url, ...address }, image, signal), crashed])

  say('All agents pull it now.')
  const before = await readMetrics(seeder.url)
  const { seconds, reports } = await Promise.race([pullEverywhere(agents, image, signal), crashed])
  const after = await readMetrics(seeder.url)
  const grown = (metric: string, labels = {}) => after(metric, labels) - before(metric, labels)
  const docker = await tryDocker(dockerName(agents[0]!), signal)
  return {
    ok: true,
    imageBytes: image.totalBytes,
    originReadBytes: grown('shoal_seeder_origin_read_bytes_total'),
    originRequests: grown('shoal_seeder_origin_requests_total', { operation: 'read' }),
    seconds,
    agents: reports,
    docker,
  }
}

async function pullEverywhere(
  agents: readonly ServiceProcess[],
  image: DemoImage,
  signal: AbortSignal,
): Promise<{ seconds: number; reports: AgentReport[] }> {
  const progress = showProgress(
    agents.map(({ name }) => name),
    image.totalBytes,
  )
  const stop = AbortSignal.any([signal, AbortSignal.timeout(PULL_TIMEOUT_MS)])
  const startedAtMs = performance.now()
  try {
    const seconds = await Promise.all(
      agents.map(async ({ name, url }) => {
        const address = { registry: url, repository: REPOSITORY, tag: TAG }
        await pullImage(address, image, (bytes) => progress.advance(name, bytes), stop)
        return (performance.now() - startedAtMs) / 1000
      }),
    )
    return {
      seconds: Math.max(...seconds),
      reports: await Promise.all(agents.map((agent, i) => reportOf(agent, seconds[i]!))),
    }
  } finally {
    progress.stop()
  }
}

async function reportOf({ name, url }: ServiceProcess, seconds: number): Promise<AgentReport> {
  const metrics = await readMetrics(url)
  const from = (source: string) => metrics('shoal_agent_received_bytes_total', { source })
  return {
    name,
    seconds: Math.round(seconds * 1000) / 1000,
    fromPeers: from('peer'),
    fromSeeder: from('seeder'),
    fromOrigin: from('origin'),
  }
}

async function keep(services: readonly ServiceProcess[], signal: AbortSignal): Promise<void> {
  const [seeder, first] = services
  say(`
Everything keeps running until Ctrl-C. Try:
  docker pull ${dockerName(first!)}
  curl ${first!.url}/v2/${REPOSITORY}/manifests/${TAG}
  curl ${first!.url}/metrics
Push more to ${seeder!.url}, pull from ${services
    .slice(1)
    .map(({ url }) => url)
    .join(', ')}.`)
  await once(signal, 'abort')
}

function dockerName(agent: ServiceProcess): string {
  return `${new URL(agent.url).host}/${REPOSITORY}:${TAG}`
}

function print({ json }: DemoOptions, report: DemoReport): void {
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : `${formatReport(report)}\n`)
}

/** Standard output is for the result. */
function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
