/**
 * A storm: a seeder and agents as processes, strangers who send whatever comes to mind to every port that listens, agents,
 * registries and roads that lie; and in the middle of it honest clients who push and pull. No service may end, and whoever
 * pulls gets the right bytes.
 *
 * Everything that is random comes from the seed, for each attacker on its own; when it meets what is up to the machine.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createPrng, parseHostPort } from '@shoal/core'
import { residentMegabytes } from '../../bench/process-usage.ts'
import { type Cluster, type Node, startCluster } from '../../support/cluster.ts'
import { type Exit, parseLine } from '../../support/process.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { type Action, type Attacker, pause, Storm } from './attacker.ts'
import { announceStreams, rawFrames } from './attackers/announce-streams.ts'
import { httpRequests } from './attackers/http-requests.ts'
import { peerWire } from './attackers/peer-wire.ts'
import { uploads } from './attackers/uploads.ts'
import {
  type PullOutcome,
  type PullPoint,
  pullMirrored,
  pullRange,
  pullTag,
  withRetries,
} from './honest/pulls.ts'
import { Pushes } from './honest/pushes.ts'
import { startBadRoad } from './liars/bad-road.ts'
import { startImpostors } from './liars/impostors.ts'
import { startUpstream } from './liars/upstream.ts'
import { oneOf, randomHex } from './random-messages.ts'
import { memoryMaxMB } from './verdict.ts'
import type { Address, Listener, World } from './world.ts'

export interface StormInit {
  readonly seed: number
  /** How long clients push and pull before anybody attacks: what memory is compared with. */
  readonly calmMs: number
  readonly durationMs: number
  /** Of each attacker, at most. */
  readonly actionsMax: number
  /** Starts what ended again and goes on, to find more; the report tells of all. */
  readonly goOn?: boolean
  readonly say?: (line: string) => void
}

export interface Ending {
  readonly service: string
  readonly atMs: number
  readonly exit: Exit
  /** The line that says why, where there is one. */
  readonly why: string
  readonly lastActions: readonly Action[]
}

export interface StormReport {
  readonly seed: number
  readonly seconds: number
  readonly actions: Readonly<Record<string, number>>
  readonly pushes: number
  /** By outcome; `mirrored` are those of the registry that lies. */
  readonly pulls: Readonly<Record<string, number>>
  readonly endings: readonly Ending[]
  /** Bytes or tags that are not what was pushed, and clients that were not served. */
  readonly wrong: readonly string[]
  readonly failed: readonly string[]
  /** At work before the storm, at the most in it, and settled afterwards; by service. */
  readonly memoryMB: Readonly<Record<string, { before: number; most: number; after: number }>>
  /** Of SIGTERM at the end. */
  readonly exits: Readonly<Record<string, Exit>>
}

const TAG_TTL_MS = 1_000
const IMPOSTORS = 3
const PULLERS = 3
const SECRET = 'a-secret-that-leaked'
const MEMORY_INTERVAL_MS = 1_000
/** A heap that was used a moment ago shrinks in its own time. */
const SETTLE_MS_MAX = 40_000
const FAILURES_KEPT = 50
const PUSH_ATTEMPTS_MAX = 3
const LINES_SHOWN = 15
/** Of each service: what unpacks to more than it must not be unpacked. */
const HEAP_MB = 512
/** What a pull may grow a cache to, so that eviction goes on all the time. */
const CACHE_BYTES = String(48 * 1024 * 1024)

export async function runStorm(init: StormInit): Promise<StormReport> {
  const { seed, calmMs, durationMs, say = () => {} } = init
  await using stack = new AsyncDisposableStack()
  const calm = new AbortController()
  const { signal } = calm
  stack.defer(() => calm.abort())
  const folder = stack.use(await temporaryFolder('storm'))
  const secretFile = join(folder.path, 'secret')
  await writeFile(secretFile, `${SECRET}\n`)
  const upstream = stack.use(await startUpstream(seed + 1, signal))
  const cluster = stack.use(
    await startCluster({
      agents: 2,
      env: { NODE_OPTIONS: `--max-old-space-size=${HEAP_MB}` },
      seederArgs: [
        ...['--data-max-bytes', CACHE_BYTES, '--upstreams', `docker.io=http://${upstream.host}`],
        ...[
          '--event-secrets-file',
          secretFile,
          '--api-token-file',
          secretFile,
          '--upstream-tag-ttl-ms',
          '500',
        ],
      ],
      agentArgs: [
        ...['--cache-max-bytes', CACHE_BYTES, '--tag-ttl-ms', String(TAG_TTL_MS), '--forward-pushes', 'true'],
      ],
    }),
  )
  const road = stack.use(await startBadRoad(cluster.seeder.url, seed + 2, signal))
  const remote = await cluster.addAgent({ seederUrl: road.url })
  const services = [cluster.seeder, ...cluster.agents, remote]

  const pushes = new Pushes(cluster.seeder.url)
  const pushing = createPrng(seed + 3)
  for (let first = 0; first < 4; first++) await pushes.push(cluster.seeder.url, pushing)
  const impostors = stack.use(await startImpostors(IMPOSTORS, seed + 10, () => world))
  const world: World = {
    listeners: listenersOf(services, cluster),
    seederUrl: cluster.seeder.url,
    blobs: pushes.blobs,
    peerIds: Array.from({ length: 6 }, () => randomHex(40, pushing)),
    impostors: impostors.addresses,
    secrets: [SECRET, 'wrong'],
  }

  const startedAtMs = performance.now()
  const elapsedMs = () => Math.round(performance.now() - startedAtMs)
  const storm = new Storm()
  const endings: Ending[] = []
  const wrong: string[] = []
  const failed: string[] = []
  const pulls: Record<string, number> = {}
  const memory = new Map(services.map(({ name }) => [name, { before: 0, most: 0, after: 0 }]))
  const end = new AbortController()
  stack.defer(() => end.abort())
  const { signal: stormy } = end

  const watch = async (service: Node) => {
    while (!stormy.aborted) {
      const exit = await Promise.race([service.process.exited, untilAborted(stormy)])
      if (exit === undefined) return
      const ending = {
        service: service.name,
        atMs: elapsedMs(),
        exit,
        why: whyOf(service),
        lastActions: storm.recent.slice(-40),
      }
      endings.push(ending)
      say(`${ending.service} ended after ${ending.atMs} ms: ${ending.why.slice(0, 600)}`)
      if (init.goOn !== true) return end.abort()
      await service.start()
    }
  }
  const tally = (kind: string, outcome: PullOutcome, mayFail: boolean) => {
    const key = `${kind}: ${outcome.kind}`
    pulls[key] = (pulls[key] ?? 0) + 1
    if (outcome.kind === 'wrong') wrong.push(`after ${elapsedMs()} ms: ${outcome.why}`)
    // What a service that has just ended did not serve is told by its ending.
    else if (outcome.kind === 'failed' && !mayFail && endings.length === 0) {
      if (failed.length < FAILURES_KEPT) failed.push(`after ${elapsedMs()} ms: ${outcome.why}`)
    }
  }
  const points: PullPoint[] = services.map((service) => ({
    name: service.name,
    url: service.url,
    mayFail: service === remote,
    couldNotAsk: (sinceMs) => hasLogged(service, 'seeder-unavailable', sinceMs),
  }))
  const pusher = async () => {
    let refusals = 0
    while (!stormy.aborted) {
      const { url } = oneOf([cluster.seeder, ...cluster.agents], pushing)
      try {
        await pushes.push(url, pushing)
        refusals = 0
      } catch (error) {
        // Who was asked to come again does.
        refusals++
        if (refusals % PUSH_ATTEMPTS_MAX === 0 && endings.length === 0)
          failed.push(`after ${elapsedMs()} ms: push: ${error}`)
      }
      await pause(200 + pushing.below(600), stormy)
    }
  }
  const puller = async (n: number) => {
    const prng = createPrng(seed + 100 + n)
    while (!stormy.aborted) {
      const point = oneOf(points, prng)
      const pushed = pushes.images[Math.max(0, pushes.images.length - 1 - prng.below(6))]!
      const kind = oneOf(['tag', 'tag', 'range', 'mirrored'] as const, prng)
      if (kind === 'mirrored') {
        // New names all the time: what is here is not asked of the registry again.
        const number = Math.floor(elapsedMs() / 4_000) + prng.below(3)
        tally('mirrored', await pullMirrored(point, number, upstream.manifestDigestOf(number), prng), true)
      } else {
        const pull = () =>
          kind === 'tag' ? pullTag(point, pushes, pushed, TAG_TTL_MS) : pullRange(point, pushed, prng)
        tally(kind, await (point.mayFail ? pull() : withRetries(pull, stormy)), point.mayFail)
      }
      await pause(prng.below(100), stormy)
    }
  }
  const weigh = async () => {
    while (!stormy.aborted) {
      await pause(MEMORY_INTERVAL_MS, stormy)
      for (const service of services) {
        const seen = memory.get(service.name)!
        seen.most = Math.max(seen.most, await memoryOf(service))
      }
    }
  }

  const attackers: Attacker[] = [
    httpRequests,
    uploads,
    announceStreams,
    rawFrames,
    peerWire,
    impostors.attacker,
  ]
  const rage = async () => {
    await pause(calmMs, stormy)
    for (const service of services) memory.get(service.name)!.before = await memoryOf(service)
    const timer = setTimeout(() => end.abort(), durationMs)
    await storm.rage(attackers, world, { seed, actionsMax: init.actionsMax, signal: stormy })
    clearTimeout(timer)
    end.abort()
  }
  await Promise.all([
    rage(),
    pusher(),
    weigh(),
    ...services.map(watch),
    ...Array.from({ length: PULLERS }, (_, n) => puller(n)),
  ])
  const seconds = elapsedMs() / 1_000

  if (endings.length === 0 || init.goOn === true) {
    say('after the storm')
    const last = await pushes.push(cluster.seeder.url, pushing)
    for (const point of points.filter(({ mayFail }) => !mayFail)) {
      await pause(TAG_TTL_MS + 100, signal)
      tally('last', await withRetries(() => pullTag(point, pushes, last, TAG_TTL_MS), signal), false)
    }
    for (const service of services)
      memory.get(service.name)!.after = await settledMemoryOf(
        service,
        memoryMaxMB(memory.get(service.name)!.before, pushes.count),
        signal,
      )
  }
  const exits: Record<string, Exit> = {}
  for (const service of services.toReversed()) {
    const exit = await service.process.stop()
    exits[service.name] = exit
    if (exit.code !== 0)
      say(`${service.name}’s last lines:\n${service.process.lines.slice(-LINES_SHOWN).join('\n')}`)
  }
  return {
    seed,
    seconds,
    actions: storm.counts,
    pushes: pushes.count,
    pulls,
    endings,
    wrong,
    failed,
    memoryMB: Object.fromEntries(memory),
    exits,
  }
}

function listenersOf(services: readonly Node[], cluster: Cluster): Listener[] {
  return services.flatMap((service) => [
    {
      name: service.name,
      kind: service === cluster.seeder ? 'seeder' : 'agent',
      address: parseHostPort(service.host) as Address,
    } as const,
    {
      name: `${service.name}’s peer port`,
      kind: 'peer-port',
      address: parseHostPort(service.peerHost) as Address,
    } as const,
  ])
}

async function memoryOf({ process }: Node): Promise<number> {
  return residentMegabytes(process.pid).catch(() => 0)
}

/** Waits until it is no more than it may be, for some time at most. */
async function settledMemoryOf(service: Node, maxMB: number, signal: AbortSignal): Promise<number> {
  const untilMs = performance.now() + SETTLE_MS_MAX
  let now = await memoryOf(service)
  while (now > maxMB && performance.now() < untilMs) {
    await pause(MEMORY_INTERVAL_MS, signal)
    now = await memoryOf(service)
  }
  return now
}

/** @param sinceMs of `performance.now()` */
function hasLogged({ process }: Node, event: string, sinceMs: number): boolean {
  const since = Date.now() - (performance.now() - sinceMs)
  return process.lines.some((line) => {
    if (!line.includes(event)) return false
    const { event: said, time } = parseLine(line) ?? {}
    return said === event && Number(time) >= since
  })
}

/** The `crashed` line of the log, or what Node wrote. */
function whyOf({ process }: Node): string {
  const crashed = process.lines.findLast((line) => parseLine(line)?.event === 'crashed')
  return (
    crashed ??
    process.lines
      .filter((line) => !line.startsWith('{'))
      .slice(-30)
      .join('\n')
  )
}

function untilAborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}
