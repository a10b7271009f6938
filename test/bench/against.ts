/**
 * Two checkouts of Shoal, one against the other, in pairs that are measured one right after the other, in turn this one first
 * and that one: what slows the machine for a while slows both. The clients and the players are this checkout's.
 *
 *   npm run bench:against -- --before ../shoal-before --now .
 */
import { mkdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Command } from 'commander'
import { type Cluster, type Node, startCluster } from '../support/cluster.ts'
import { pushImage } from '../support/push.ts'
import { SHOAL_NODE_FLAGS } from '../support/shoal.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { type BenchBlob, makeBenchBlob, touchMemory } from './bench-blob.ts'
import { bytesArgument, countArgument, namesArgument, printJson, printTable, say } from './command-line.ts'
import { curl } from './curl.ts'
import { imageOf, untilCached } from './images.ts'
import { cpuSeconds } from './process-usage.ts'
import { megabytesPerSecond, type Spread, spread } from './statistics.ts'
import { Player } from './tracker/player.ts'

const MEASURES = ['cold', 'warm', 'swarm', 'announces'] as const
type Measure = (typeof MEASURES)[number]

export interface AgainstReport {
  readonly measure: string
  readonly unit: string
  readonly before: Spread
  readonly now: Spread
  /** Of each pair, now ÷ before: more is better. */
  readonly ratio: Spread
}

interface Options {
  readonly before: string
  readonly now: string
  readonly pairs: number
  readonly bytes: number
  readonly swarmBytes: number
  readonly agents: number
  readonly announcers: number
  readonly layers: number
  readonly only: readonly Measure[]
  readonly json?: true
}

type Side = 'before' | 'now'
/** By what was measured, MB/s or announces a second, one number for each pair. */
type Figures = Map<string, Record<Side, number[]>>

const REPOSITORY = 'bench/app'
const WARM_READS = 3
const GENERATORS = 2

const options = new Command('bench:against')
  .description('Throughput of two checkouts, built, in pairs.')
  .requiredOption('--before <folder>', 'the checkout to compare with')
  .option('--now <folder>', 'the checkout that is compared', '.')
  .option('--pairs <count>', 'pairs', countArgument, 9)
  .option('--bytes <size>', 'size of the layer of one agent', bytesArgument, 256 * 2 ** 20)
  .option('--swarm-bytes <size>', 'size of the layer of many', bytesArgument, 64 * 2 ** 20)
  .option('--agents <count>', 'agents of the swarm', countArgument, 4)
  .option('--announcers <count>', 'agents that announce', countArgument, 2000)
  .option('--layers <count>', 'layers that each announces', countArgument, 20)
  .option('--only <names>', `some of ${MEASURES}`, namesArgument(MEASURES), [...MEASURES])
  .option('--json', 'print one line of JSON instead of a table')
  .parse()
  .opts<Options>()

const figures: Figures = new Map()
if (options.only.some((measure) => measure !== 'announces')) await measurePulls()
if (options.only.includes('announces')) await measureAnnounces()
const reports = [...figures].map(([measure, { before, now }]): AgainstReport => {
  const ratios = now.map((value, pair) => value / before[pair]!)
  const unit = measure.startsWith('announces') ? '1/s' : 'MB/s'
  return { measure, unit, before: spread(before), now: spread(now), ratio: spread(ratios) }
})
if (options.json) printJson(reports)
else print(reports)

/** Both seeders are up all the time; every agent is new. */
async function measurePulls(): Promise<void> {
  await using folder = await temporaryFolder('bench')
  const blobOf = async (name: string, bytes: number) => {
    const place = join(folder.path, name)
    await mkdir(place)
    return makeBenchBlob(place, bytes)
  }
  const big = await blobOf('big', options.bytes)
  const small = await blobOf('small', options.swarmBytes)
  const clusterOf = async (side: Side) => {
    const bin = join(resolve(options[side]), 'packages/cli/bin/shoal.js')
    const cluster = await startCluster({ agents: 0, bin })
    for (const [tag, blob] of [
      ['big', big],
      ['small', small],
    ] as const)
      await pushImage(cluster.seeder.url, REPOSITORY, tag, imageOf(blob))
    return cluster
  }
  await using before = await clusterOf('before')
  await using now = await clusterOf('now')
  // The first pull of each seeder is of what it has not read yet.
  for (const cluster of [before, now])
    await withAgents(cluster, 1, ([agent]) => pull(agent!, big).then(() => {}))
  await inPairs(async (side) => {
    const cluster = side === 'before' ? before : now
    if (options.only.includes('cold') || options.only.includes('warm')) {
      await touchMemory(folder.path, 2 * options.bytes)
      await withAgents(cluster, 1, async ([agent]) => {
        const cpu = () => cpuOf(cluster.seeder, agent!)
        const start = await cpu()
        record('cold', side, await pull(agent!, big))
        await untilCached(agent!, big.metainfo.digest)
        const cached = await cpu()
        record('cold, of a CPU second', side, megabytesPerSecond(options.bytes, cached - start))
        const warm: number[] = []
        for (let read = 0; read < WARM_READS; read++) warm.push(await pull(agent!, big))
        record('warm', side, spread(warm).median)
        const bytes = WARM_READS * options.bytes
        record('warm, of a CPU second', side, megabytesPerSecond(bytes, (await cpu()) - cached))
      })
    }
    if (options.only.includes('swarm')) {
      await touchMemory(folder.path, (options.agents + 1) * options.swarmBytes)
      await withAgents(cluster, options.agents, async (agents) => {
        const [startMs, cpuBefore] = [performance.now(), await cpuOf(cluster.seeder, ...agents)]
        await Promise.all(agents.map((agent) => pull(agent, small)))
        const bytes = agents.length * options.swarmBytes
        record('swarm', side, megabytesPerSecond(bytes, (performance.now() - startMs) / 1_000))
        const cpu = (await cpuOf(cluster.seeder, ...agents)) - cpuBefore
        record('swarm, of a CPU second', side, megabytesPerSecond(bytes, cpu))
      })
    }
  })
}

/** A tracker alone; what is counted is all that agents say of all layers, until the last answer is in. */
async function measureAnnounces(): Promise<void> {
  await inPairs(async (side) => {
    const path = pathToFileURL(join(resolve(options[side]), 'test/bench/tracker/tracker-process.js')).href
    await using tracker = new Player(path, SHOAL_NODE_FLAGS)
    const { port } = await tracker.expect('ready')
    const players = Array.from({ length: GENERATORS }, () => new Player('agents-process.ts', []))
    await using _end = {
      [Symbol.asyncDispose]: () => Promise.all(players.map((one) => one.end())).then(() => {}),
    }
    await Promise.all(players.map((player) => player.expect('ready')))
    const { announcers, layers } = options
    await Promise.all(
      players.map((player, index) => {
        const [from, to] = [index, index + 1].map((at) => Math.floor((at * announcers) / GENERATORS)) as [
          number,
          number,
        ]
        return player.ask({ kind: 'connect', share: { port: port!, from, to, layers, zones: 1 } })
      }),
    )
    const [startMs, cpuBefore] = [performance.now(), await cpuSeconds(tracker.pid)]
    await Promise.all(players.map((player) => player.ask({ kind: 'announce' })))
    // As fast as it is taken in.
    await Promise.all(players.map((player) => player.ask({ kind: 'complete', seconds: 0.001 })))
    const events = 2 * announcers * layers
    record('announces', side, events / ((performance.now() - startMs) / 1_000))
    record('announces, of a CPU second', side, events / ((await cpuSeconds(tracker.pid)) - cpuBefore))
  })
}

async function inPairs(run: (side: Side) => Promise<void>): Promise<void> {
  for (let pair = 0; pair < options.pairs; pair++) {
    const order: readonly Side[] = pair % 2 === 0 ? ['before', 'now'] : ['now', 'before']
    for (const side of order) await run(side)
    say(`pair ${pair + 1} of ${options.pairs}`)
  }
}

function record(measure: string, side: Side, value: number): void {
  const known = figures.get(measure) ?? { before: [], now: [] }
  figures.set(measure, known)
  known[side].push(value)
  say(`  ${side} ${measure} ${value.toFixed(0)}`)
}

async function withAgents(
  cluster: Cluster,
  count: number,
  use: (agents: readonly Node[]) => Promise<void>,
): Promise<void> {
  const agents: Node[] = []
  try {
    for (let n = 0; n < count; n++) agents.push(await cluster.addAgent())
    await use(agents)
  } finally {
    for (const agent of agents) {
      await agent.stop()
      await rm(agent.folder, { recursive: true, force: true })
    }
  }
}

/** CPU seconds that they have taken: on a busy machine a steadier figure than the clock's. */
async function cpuOf(...nodes: readonly Node[]): Promise<number> {
  const taken = await Promise.all(nodes.map(({ process }) => cpuSeconds(process.pid)))
  return taken.reduce((sum, seconds) => sum + seconds, 0)
}

/** @returns MB/s */
async function pull({ url }: Node, { metainfo }: BenchBlob): Promise<number> {
  const { bytes, seconds } = await curl(`${url}/v2/${REPOSITORY}/blobs/${metainfo.digest}`, '/dev/null')
  if (bytes !== metainfo.length) throw new Error(`a client was given ${bytes} of ${metainfo.length} bytes`)
  return megabytesPerSecond(bytes, seconds)
}

function print(rows: readonly AgainstReport[]): void {
  printTable([
    ['', 'before', 'now', 'now ÷ before', 'min', 'max'],
    ...rows.map(({ measure, unit, before, now, ratio }) => [
      `${measure}, ${unit}`,
      before.median.toFixed(0),
      now.median.toFixed(0),
      ...[ratio.median, ratio.min, ratio.max].map((value) => value.toFixed(3)),
    ]),
  ])
}
