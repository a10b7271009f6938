/**
 * What a node gets of it all: an image is pushed to a seeder, and `curl` fetches its layer from an agent's registry, cold
 * and warm, and from Debian's docker-registry, in turn. Then how soon a cold agent answers.
 *
 * A cold agent is a process that has just started, with an empty cache; nobody else is in the swarm but the seeder.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ENGINE_NAMES, type EngineName } from '@shoal/swarm'
import { Command } from 'commander'
import { type Cluster, type Node, startCluster } from '../support/cluster.ts'
import { missingComponents } from '../support/components.ts'
import { startDockerRegistry } from '../support/docker-registry.ts'
import { pushImage } from '../support/push.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { expectBlob, makeBenchBlob, touchMemory } from './bench-blob.ts'
import { bytesArgument, countArgument, nameArgument, printJson, printTable, say } from './command-line.ts'
import { type CurlRun, curl } from './curl.ts'
import { firstBodyByteMs } from './first-byte.ts'
import { imageOf, randomImage, untilCached } from './images.ts'
import { cpuSeconds, peakMegabytes } from './process-usage.ts'
import { median, megabytesPerSecond, pairedRatio, rounded, type Spread, spread } from './statistics.ts'

export interface ServiceReport {
  readonly engine: EngineName
  readonly bytes: number
  readonly runs: number
  readonly pushSeconds: number
  readonly rows: readonly {
    readonly name: 'cold' | 'warm' | 'docker-registry'
    readonly mbPerSecond: Spread
    readonly firstByteMs: Spread
  }[]
  readonly ratios: {
    readonly 'cold/docker-registry': number | null
    readonly 'warm/docker-registry': number | null
  }
  /** Of the big blob, at a cold agent: asked for it at once, and after the manifest. */
  readonly firstByteMs: { readonly byDigest: Spread; readonly afterManifest: Spread }
  /** A whole 4 KB blob from a cold agent. */
  readonly smallBlobMs: Spread
  /** In a cold pull of the big blob, medians. */
  readonly cpuSeconds: { readonly seeder: number; readonly agent: number }
  /** The highest of all runs. */
  readonly peakRssMB: { readonly seeder: number; readonly agent: number }
}

interface Options {
  readonly engine: EngineName
  readonly bytes: number
  readonly runs: number
  readonly json?: true
}

const SMALL_BLOB_BYTES = 4096
const [BIG, SMALL] = ['bench/big', 'bench/small']

const options = new Command('bench:service')
  .description('A layer through seeder, agent and curl, beside docker-registry.')
  .option('--engine <name>', `one of ${ENGINE_NAMES}`, nameArgument(ENGINE_NAMES), 'native')
  .option('--bytes <size>', 'size of the layer', bytesArgument, 2 ** 30)
  .option('--runs <count>', 'rounds', countArgument, 5)
  .option('--json', 'print one line of JSON instead of a table')
  .parse()
  .opts<Options>()

const report = await measure(options)
if (options.json) printJson(report)
else print(report)

async function measure({ engine, bytes, runs }: Options): Promise<ServiceReport> {
  await using folder = await temporaryFolder('bench')
  say(`making a layer of ${bytes} bytes`)
  const blob = await makeBenchBlob(folder.path, bytes)
  const image = imageOf(blob)
  const small = randomImage([SMALL_BLOB_BYTES])
  const flags = ['--engine', engine]
  await using cluster = await startCluster({ agents: 0, seederArgs: flags, agentArgs: flags })
  const pushStartMs = performance.now()
  await pushImage(cluster.seeder.url, BIG, '1', image)
  const pushSeconds = rounded((performance.now() - pushStartMs) / 1000)
  await pushImage(cluster.seeder.url, SMALL, '1', small)
  const [missing] = missingComponents(['docker-registry'])
  if (missing) say(`docker-registry is skipped: ${missing.reason} (${missing.remedy})`)
  await using registry = missing ? undefined : await startDockerRegistry()
  if (registry) await pushImage(registry.url, BIG, '1', image)

  const { digest } = blob.metainfo
  const file = join(folder.path, 'received')
  const fetchBig = async (name: string, base: string, check: boolean) => {
    // Twice: a cold agent writes the blob as well as curl.
    await touchMemory(folder.path, 2 * bytes)
    const run = await curl(`${base}/v2/${BIG}/blobs/${digest}`, file)
    if (check) await expectBlob(blob.metainfo, file)
    await rm(file)
    say(`${name} ${megabytesPerSecond(bytes, run.seconds).toFixed(0)} MB/s`)
    return run
  }
  const cold: CurlRun[] = []
  const warm: CurlRun[] = []
  const reference: CurlRun[] = []
  const cpu: { seeder: number; agent: number }[] = []
  const agentPeaks: number[] = []
  for (let round = 1; round <= runs; round++) {
    await withColdAgent(cluster, async (agent) => {
      const both = () =>
        Promise.all([cpuSeconds(cluster.seeder.process.pid), cpuSeconds(agent.process.pid)] as const)
      const before = await both()
      cold.push(await fetchBig('cold', agent.url, round === 1))
      await untilCached(agent, digest)
      const after = await both()
      cpu.push({ seeder: after[0] - before[0], agent: after[1] - before[1] })
      warm.push(await fetchBig('warm', agent.url, round === 1))
      agentPeaks.push(await peakMegabytes(agent.process.pid))
    })
    if (registry) reference.push(await fetchBig('docker-registry', registry.url, false))
  }

  say('first bytes')
  // This process's own first request would be part of the first figure.
  await firstBodyByteMs(`${cluster.seeder.url}/metrics`)
  const [byDigest, afterManifest, smallBlob]: [number[], number[], number[]] = [[], [], []]
  for (let round = 1; round <= runs; round++) {
    await withColdAgent(cluster, async ({ url }) => {
      byDigest.push(await firstBodyByteMs(`${url}/v2/${BIG}/blobs/${digest}`))
    })
    await withColdAgent(cluster, async ({ url }) => {
      await (await fetch(`${url}/v2/${BIG}/manifests/1`)).arrayBuffer()
      afterManifest.push(await firstBodyByteMs(`${url}/v2/${BIG}/blobs/${digest}`))
    })
    await withColdAgent(cluster, async ({ url }) => {
      const run = await curl(`${url}/v2/${SMALL}/blobs/${small.layers[0]!.digest}`, file)
      smallBlob.push(run.seconds * 1000)
    })
  }

  const speeds = (of: readonly CurlRun[]) => of.map(({ seconds }) => megabytesPerSecond(bytes, seconds))
  const rows = [
    ['cold', cold],
    ['warm', warm],
    ['docker-registry', reference],
  ] as const
  return {
    engine,
    bytes,
    runs,
    pushSeconds,
    rows: rows
      .filter(([, of]) => of.length > 0)
      .map(([name, of]) => ({
        name,
        mbPerSecond: spread(speeds(of)),
        firstByteMs: spread(of.map(({ firstByteSeconds }) => firstByteSeconds * 1000)),
      })),
    ratios: {
      'cold/docker-registry': pairedRatio(speeds(cold), speeds(reference)),
      'warm/docker-registry': pairedRatio(speeds(warm), speeds(reference)),
    },
    firstByteMs: { byDigest: spread(byDigest), afterManifest: spread(afterManifest) },
    smallBlobMs: spread(smallBlob),
    cpuSeconds: {
      seeder: rounded(median(cpu.map(({ seeder }) => seeder))),
      agent: rounded(median(cpu.map(({ agent }) => agent))),
    },
    peakRssMB: {
      seeder: await peakMegabytes(cluster.seeder.process.pid),
      agent: Math.max(...agentPeaks),
    },
  }
}

async function withColdAgent(cluster: Cluster, use: (agent: Node) => Promise<void>): Promise<void> {
  const agent = await cluster.addAgent()
  try {
    await use(agent)
  } finally {
    await agent.stop()
    await rm(agent.folder, { recursive: true, force: true })
  }
}

function print({ rows, ratios, ...rest }: ServiceReport): void {
  const text = ({ median, min, max }: Spread, digits: number) =>
    [median, min, max].map((value) => value.toFixed(digits))
  printTable([
    ['', 'median', 'min', 'max'],
    ...rows.map(({ name, mbPerSecond }) => [`${name}, MB/s`, ...text(mbPerSecond, 0)]),
    ['first byte, by digest, ms', ...text(rest.firstByteMs.byDigest, 1)],
    ['first byte, after the manifest, ms', ...text(rest.firstByteMs.afterManifest, 1)],
    ['4 KB blob, ms', ...text(rest.smallBlobMs, 1)],
  ])
  for (const [name, ratio] of Object.entries(ratios)) console.log(`${name}: ${ratio ?? '-'}`)
  const { cpuSeconds: cpu, peakRssMB: peak } = rest
  console.log(`push: ${rest.pushSeconds} s`)
  console.log(`seeder: ${cpu.seeder} CPU s, ${peak.seeder} MB; agent: ${cpu.agent} CPU s, ${peak.agent} MB`)
}
