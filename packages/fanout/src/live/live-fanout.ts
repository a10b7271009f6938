/**
 * A live fan-out: a cluster, an image in its origin, everybody's pull at the same moment, and what it took. Leaves nothing
 * behind, however it ends.
 */
import { rmSync } from 'node:fs'
import { mkdtemp, rm, stat, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Image } from '@shoal/images'
import { openConnections, pushImage } from '@shoal/registry-client'
import { inParallel, orAborted } from '@shoal/service'
import type { StrategyRun, TimelinePoint } from '@shoal/simulator'
import { Cleanup } from '../processes/cleanup.ts'
import { ServiceProcess } from '../processes/service-process.ts'
import { withTimeLimit } from '../processes/time-limit.ts'
import type { FanoutRun } from '../result.ts'
import { LiveRoomError, LiveTimeoutError } from './errors.ts'
import { buildLiveImage } from './image.ts'
import {
  clockMs,
  type LiveCluster,
  LOOPBACK,
  REPOSITORY,
  STARTS_AT_ONCE,
  type StartLiveCluster,
  TAG,
  WARM_UP_TAG,
} from './live-cluster.ts'
import { startNetnsCluster } from './netns-cluster.ts'
import { startProcessCluster } from './process-cluster.ts'
import { showProgress } from './progress.ts'
import { startSharedCluster } from './shared-cluster.ts'

export const ISOLATIONS = ['netns', 'process', 'shared'] as const
export type Isolation = (typeof ISOLATIONS)[number]

export interface LiveFanoutOptions {
  readonly nodes: number
  readonly layerBytes: readonly number[]
  readonly linkBytesPerSecond: number
  readonly isolation: Isolation
  readonly seed: number
  /** For the pulls; who is not done by then counts as unfinished. */
  readonly timeoutMs: number
  /** How to run `shoal`: program and first arguments. */
  readonly shoal: readonly string[]
}

const STARTS: Readonly<Record<Isolation, StartLiveCluster>> = {
  netns: startNetnsCluster,
  process: startProcessCluster,
  shared: startSharedCluster,
}
/** A start takes less than a second on a busy, slow machine, and eight go on at once. */
const startLimitMs = (nodes: number) => 60_000 + nodes * 1_000
/** Making, pushing: a floor that even a slow disk does not fall below. */
const pushLimitMs = (bytes: number) => 60_000 + bytes / 5_000
/** A file system in memory, where Linux has one. */
const MEMORY_FOLDER = '/dev/shm'
/** Metadata, and what is being written. */
const ORIGIN_EXTRA_BYTES = 16 * 1024 ** 2
const CONNECTED_LOOK_MS = 200
/** Enough for code and buffers to be as warm as they are in a daemon that has been there for a while, and soon done. */
const WARM_UP_BYTES_MAX = 6e6
const WARM_UP_SECONDS = 2
const WARM_UP_TIMEOUT_MS = 120_000
const METRICS_AT_ONCE = 16
const METRICS_TIMEOUT_MS = 60_000

/**
 * @param err where it is told what happens
 * @param signal aborts on Ctrl-C; then everything is ended before this resolves
 * @returns undefined when it failed; why was told
 */
export async function runLiveFanout(
  options: LiveFanoutOptions,
  err: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<FanoutRun | undefined> {
  const cleanup = new Cleanup()
  const ending = new AbortController()
  const onFailed = (error: Error) => ending.abort(error)
  const live: Live = { options, err, cleanup, onFailed, signal: AbortSignal.any([signal, ending.signal]) }
  let run: FanoutRun | undefined
  try {
    run = await fanOut(live)
  } catch (error) {
    err.write(`The fan-out failed: ${error instanceof Error ? error.message : String(error)}\n`)
  }
  for (const failure of await cleanup.run()) err.write(`could not clean up ${failure}\n`)
  return run
}

interface Live {
  readonly options: LiveFanoutOptions
  readonly err: NodeJS.WriteStream
  readonly cleanup: Cleanup
  readonly signal: AbortSignal
  onFailed(error: Error): void
}

async function fanOut(live: Live): Promise<FanoutRun> {
  const { options, err, signal } = live
  const say = (text: string) => err.write(`${text}\n`)
  const { nodes, seed, layerBytes, isolation } = options

  const folder = await makeFolder(live)
  const origin = await makeOrigin(live, folder)
  say('Making an image and pushing it …')
  const image = await buildLiveImage({ layerBytes, seed }, signal)
  const warmUpBytes = Math.ceil(
    Math.min(WARM_UP_BYTES_MAX, image.contentBytes / 4, options.linkBytesPerSecond * WARM_UP_SECONDS),
  )
  const warmUp = await buildLiveImage({ layerBytes: [warmUpBytes], seed: -seed - 1 }, signal)
  await withTimeLimit(
    { Timeout: LiveTimeoutError, doing: 'the push', limitMs: pushLimitMs(image.contentBytes), signal },
    (limited) =>
      fillOrigin(live, { folder, origin, images: { [TAG]: image, [WARM_UP_TAG]: warmUp }, signal: limited }),
  )

  say(`Starting a seeder and ${nodes} agents (${isolation}) …`)
  const cluster = await withTimeLimit(
    { Timeout: LiveTimeoutError, doing: 'the start', limitMs: startLimitMs(nodes), signal },
    async (limited) => {
      const started = await withProgress(err, { title: 'start', name: 'agents', total: nodes }, (add) =>
        STARTS[isolation]({
          shoal: options.shoal,
          nodeCount: nodes,
          linkBytesPerSecond: options.linkBytesPerSecond,
          folder,
          origin,
          cleanup: live.cleanup,
          onFailed: live.onFailed,
          onStarted: () => add(1),
          signal: limited,
        }),
      )
      await allConnected(started, limited)
      return started
    },
  )

  say('Every node pulls a small image first …')
  await withTimeLimit(
    { Timeout: LiveTimeoutError, doing: 'the first pull', limitMs: WARM_UP_TIMEOUT_MS, signal },
    (limited) =>
      inParallel(cluster.nodes, STARTS_AT_ONCE, async (node) => {
        await node.pull(WARM_UP_TAG, limited, () => {})
      }),
  )

  const before = await withTimeLimit(
    { Timeout: LiveTimeoutError, doing: 'reading the counters', limitMs: METRICS_TIMEOUT_MS, signal },
    (limited) => readCounters(cluster, limited),
  )

  say(`${nodes} nodes pull at the same moment …`)
  const imageBytes = image.contentBytes
  const boundSeconds = imageBytes / options.linkBytesPerSecond
  return { nodes, imageBytes, boundSeconds, seed, runs: [await measure(live, cluster, image, before)] }
}

/** Origin, the seeder's copy and every agent's cache hold the image once; a tenth on top for what lies between. */
async function makeFolder({ options, cleanup }: Live): Promise<string> {
  const neededBytes = Math.ceil((sumOf(options.layerBytes) + WARM_UP_BYTES_MAX) * (options.nodes + 2) * 1.1)
  const freeBytes = await freeBytesIn(tmpdir())
  if (freeBytes < neededBytes) throw new LiveRoomError(tmpdir(), neededBytes, freeBytes)
  return temporaryFolder(tmpdir(), cleanup)
}

/**
 * On another file system than the seeder's copy, as an object store is on another machine: of files beside it the seeder makes
 * links, and nobody could see how often the origin is read.
 */
async function makeOrigin({ options, cleanup, err }: Live, folder: string): Promise<string> {
  const neededBytes = sumOf(options.layerBytes) * 1.1 + ORIGIN_EXTRA_BYTES
  const isElsewhere = (await deviceOf(MEMORY_FOLDER)) !== (await deviceOf(folder))
  if (isElsewhere && (await freeBytesIn(MEMORY_FOLDER)) >= neededBytes)
    return temporaryFolder(MEMORY_FOLDER, cleanup)
  err.write(
    `${MEMORY_FOLDER} cannot hold the origin, so it is beside the seeder's copy: the seeder links its files and reads nothing of them.\n`,
  )
  return join(folder, 'origin')
}

async function temporaryFolder(parent: string, cleanup: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(parent, 'shoal-fanout-'))
  const removal = { recursive: true, force: true, maxRetries: 5 }
  cleanup.add({ name: folder, end: () => rm(folder, removal), endNow: () => rmSync(folder, removal) })
  return folder
}

/** Nothing where there is no such folder. */
async function freeBytesIn(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder).catch(() => ({ bavail: 0, bsize: 0 }))
  return bavail * bsize
}

async function deviceOf(folder: string): Promise<number | undefined> {
  return (await stat(folder).catch(() => undefined))?.dev
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}

/** By a seeder of its own, which has no limits, and leaves nothing in the memory of the one that is measured. */
async function fillOrigin(
  { options, cleanup, onFailed }: Live,
  {
    folder,
    origin,
    images,
    signal,
  }: { folder: string; origin: string; images: Readonly<Record<string, Image>>; signal: AbortSignal },
): Promise<void> {
  const data = join(folder, 'importer')
  const args = ['seeder', '--data', data, '--origin', origin, ...LOOPBACK, '--log-level', 'warn']
  const importer = new ServiceProcess('the importing seeder', [...options.shoal, ...args])
  importer.failed.catch(onFailed)
  const client = openConnections()
  cleanup.add({
    name: 'the importing seeder',
    end: async () => {
      await client.close()
      await importer.stop()
    },
    endNow: () => importer.kill(),
  })
  const { listen } = await orAborted(importer.ready, signal)
  const target = { client, registryUrl: `http://${listen}`, repository: REPOSITORY }
  for (const [tag, image] of Object.entries(images))
    await pushImage({ ...target, signal, onBytes: () => {} }, tag, image)
  await client.close()
  await importer.stop()
}

async function allConnected(cluster: LiveCluster, signal: AbortSignal): Promise<void> {
  while ((await cluster.readSeederMetrics(signal)).sum('shoal_seeder_agents') < cluster.nodes.length)
    await delay(CONNECTED_LOOK_MS, undefined, { signal })
}

async function measure(
  live: Live,
  cluster: LiveCluster,
  image: Image,
  before: Counters,
): Promise<StrategyRun> {
  const { options, err, signal } = live
  const total = image.contentBytes * options.nodes
  const timeLimit = new AbortController()
  const limited = AbortSignal.any([signal, timeLimit.signal])
  const timer = setTimeout(
    () => timeLimit.abort(new LiveTimeoutError('the pull', options.timeoutMs)),
    options.timeoutMs,
  )
  const finishSeconds: number[] = []
  const failures: string[] = []
  const releasedAtMs = clockMs()
  try {
    await withProgress(err, { title: 'pull', name: 'all nodes', total }, (add) =>
      Promise.all(
        cluster.nodes.map(async (node) => {
          try {
            const { endedAtMs } = await node.pull(TAG, limited, add)
            finishSeconds.push((endedAtMs - releasedAtMs) / 1000)
          } catch (error) {
            // One node that fails is a result; an end of everything is not.
            signal.throwIfAborted()
            failures.push(`${node.name}: ${error instanceof Error ? error.message : String(error)}`)
          }
        }),
      ),
    )
  } finally {
    clearTimeout(timer)
  }
  const endSeconds = (clockMs() - releasedAtMs) / 1000
  for (const failure of failures.slice(0, 5)) err.write(`${failure}\n`)
  if (failures.length > 5) err.write(`and ${failures.length - 5} more\n`)

  return withTimeLimit(
    { Timeout: LiveTimeoutError, doing: 'reading the counters', limitMs: METRICS_TIMEOUT_MS, signal },
    async (reading) => {
      const after = await readCounters(cluster, reading)
      const grown = (name: keyof Counters) => after[name] - before[name]
      const seederSentBytes = grown('seederSent')
      const end: TimelinePoint = {
        atSeconds: endSeconds,
        completedNodes: finishSeconds.length,
        peerBytes: grown('fromPeers'),
        seederBytes: grown('fromSeeder'),
        originBytes: grown('fromOrigin'),
      }
      return {
        strategy: 'shoal',
        finishSeconds: finishSeconds.toSorted((a, b) => a - b),
        unfinished: failures.length,
        originBytes: grown('originRead') + grown('fromOrigin'),
        originRequests: grown('originRequests'),
        // One zone, and the seeder is in it.
        crossZoneBytes: [0],
        seederSentBytes,
        swarmSentBytes: grown('agentsSent') + seederSentBytes,
        // Its link is shaped; how much of it was used from second to second nobody looks at.
        seederPeakBytesPerSecond: seederSentBytes / Math.max(endSeconds, 0.001),
        timeline: [end],
      }
    },
  )
}

interface Counters {
  /** What agents received, by where it came from; what they sent to each other. */
  fromPeers: number
  fromSeeder: number
  fromOrigin: number
  agentsSent: number
  seederSent: number
  originRead: number
  originRequests: number
}

async function readCounters(cluster: LiveCluster, signal: AbortSignal): Promise<Counters> {
  const seeder = await cluster.readSeederMetrics(signal)
  const counters: Counters = {
    fromPeers: 0,
    fromSeeder: 0,
    fromOrigin: 0,
    agentsSent: 0,
    seederSent: seeder.sum('shoal_seeder_sent_bytes_total') + seeder.sum('shoal_seeder_served_bytes_total'),
    originRead: seeder.sum('shoal_seeder_origin_read_bytes_total'),
    originRequests: seeder.sum('shoal_seeder_origin_requests_total'),
  }
  await inParallel(cluster.nodes, METRICS_AT_ONCE, async (node) => {
    const page = await node.readMetrics(signal)
    const from = (source: string) => page.sum('shoal_agent_received_bytes_total', { source })
    counters.fromPeers += from('peer')
    counters.fromSeeder += from('seeder')
    counters.fromOrigin += from('origin')
    counters.agentsSent += page.sum('shoal_agent_sent_bytes_total')
  })
  return counters
}

async function withProgress<T>(
  stream: NodeJS.WriteStream,
  { title, name, total }: { title: string; name: string; total: number },
  work: (add: (more: number) => void) => Promise<T>,
): Promise<T> {
  const progress = showProgress({ title, names: [name], totalBytes: total }, stream)
  try {
    return await work((more) => progress.add(name, more))
  } finally {
    progress.stop()
  }
}
