/**
 * One seeder, eight agents, one layer, all at once on loopback: the sum of what clients were given per second, until the
 * last of them had all. Shoal's engine and webtorrent in turn, each time with a new cluster.
 */
import { ENGINE_NAMES, type EngineName } from '@shoal/swarm'
import { Command } from 'commander'
import { startCluster } from '../support/cluster.ts'
import { pushImage } from '../support/push.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { type BenchBlob, makeBenchBlob } from './bench-blob.ts'
import { bytesArgument, countArgument, namesArgument, printJson, printTable, say } from './command-line.ts'
import { curl } from './curl.ts'
import { imageOf } from './images.ts'
import { megabytesPerSecond, pairedRatio, type Spread, spread } from './statistics.ts'

export interface FanOutReport {
  readonly agents: number
  readonly bytes: number
  readonly runs: number
  readonly rows: readonly {
    readonly name: EngineName
    /** Of all agents together. */
    readonly mbPerSecond: Spread
    /** Bytes that agents got from each other, of all that they got. */
    readonly fromPeers: Spread
  }[]
  readonly ratios: { readonly 'native/webtorrent': number | null }
}

interface Options {
  readonly engines: readonly EngineName[]
  readonly agents: number
  readonly bytes: number
  readonly runs: number
  readonly json?: true
}

interface FanOutRun {
  readonly mbPerSecond: number
  readonly fromPeers: number
}

const REPOSITORY = 'bench/app'

const options = new Command('bench:fan-out')
  .description('One seeder to many agents at once.')
  .option('--engines <names>', `some of ${ENGINE_NAMES}`, namesArgument(ENGINE_NAMES), [...ENGINE_NAMES])
  .option('--agents <count>', 'agents', countArgument, 8)
  .option('--bytes <size>', 'size of the layer', bytesArgument, 160 * 2 ** 20)
  .option('--runs <count>', 'rounds', countArgument, 3)
  .option('--json', 'print one line of JSON instead of a table')
  .parse()
  .opts<Options>()

const report = await measure(options)
if (options.json) printJson(report)
else print(report)

async function measure({ engines, agents, bytes, runs }: Options): Promise<FanOutReport> {
  await using folder = await temporaryFolder('bench')
  const blob = await makeBenchBlob(folder.path, bytes)
  const done = new Map<EngineName, FanOutRun[]>(engines.map((engine) => [engine, []]))
  for (let round = 1; round <= runs; round++) {
    for (const [engine, of] of done) {
      const run = await fanOut(engine, agents, blob)
      of.push(run)
      say(`round ${round} of ${runs}: ${engine} ${run.mbPerSecond.toFixed(0)} MB/s`)
    }
  }
  const speeds = (engine: EngineName) => done.get(engine)?.map(({ mbPerSecond }) => mbPerSecond)
  return {
    agents,
    bytes,
    runs,
    rows: [...done].map(([name, of]) => ({
      name,
      mbPerSecond: spread(of.map(({ mbPerSecond }) => mbPerSecond)),
      fromPeers: spread(of.map(({ fromPeers }) => fromPeers)),
    })),
    ratios: { 'native/webtorrent': pairedRatio(speeds('native'), speeds('webtorrent')) },
  }
}

async function fanOut(engine: EngineName, agents: number, blob: BenchBlob): Promise<FanOutRun> {
  const flags = ['--engine', engine]
  const { digest, length } = blob.metainfo
  await using cluster = await startCluster({ agents, seederArgs: flags, agentArgs: flags })
  await pushImage(cluster.seeder.url, REPOSITORY, '1', imageOf(blob))
  const startMs = performance.now()
  // To nowhere: eight clients' files are no part of any real node's work.
  const runs = await Promise.all(
    cluster.agents.map(({ url }) => curl(`${url}/v2/${REPOSITORY}/blobs/${digest}`, '/dev/null')),
  )
  const seconds = (performance.now() - startMs) / 1000
  const short = runs.find(({ bytes }) => bytes !== length)
  if (short) throw new Error(`a client was given ${short.bytes} of ${length} bytes`)
  const sources = await Promise.all(cluster.agents.map((agent) => agent.received()))
  const sum = (of: 'peer' | 'all') => sources.reduce((total, source) => total + source[of], 0)
  return {
    mbPerSecond: megabytesPerSecond(agents * length, seconds),
    fromPeers: sum('all') === 0 ? 0 : sum('peer') / sum('all'),
  }
}

function print({ rows, ratios }: FanOutReport): void {
  const percent = (share: number) => `${(100 * share).toFixed(0)}%`
  printTable([
    ['', 'MB/s', 'min', 'max', 'from peers'],
    ...rows.map(({ name, mbPerSecond: { median, min, max }, fromPeers }) => [
      name,
      ...[median, min, max].map((value) => value.toFixed(0)),
      percent(fromPeers.median),
    ]),
  ])
  console.log(`native/webtorrent: ${ratios['native/webtorrent'] ?? '-'}`)
}
