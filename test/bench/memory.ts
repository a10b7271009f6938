/** How much memory an agent has resident: one that does nothing, and one that seeds a thousand small blobs. */
import { setTimeout as delay } from 'node:timers/promises'
import { ENGINE_NAMES, type EngineName } from '@shoal/swarm'
import { Command } from 'commander'
import { type Node, startCluster } from '../support/cluster.ts'
import { pullBlob, pushImage } from '../support/push.ts'
import { countArgument, nameArgument, printJson, printTable, say } from './command-line.ts'
import { randomImage, untilCached } from './images.ts'
import { residentMegabytes } from './process-usage.ts'
import { rounded } from './statistics.ts'

export interface MemoryReport {
  readonly engine: EngineName
  readonly blobs: number
  readonly idleRssMB: number
  readonly seedingRssMB: number
  readonly seederRssMB: number
}

interface Options {
  readonly engine: EngineName
  readonly blobs: number
  readonly json?: true
}

const KIB = 1024
const LAYER_BYTES_MIN = 4 * KIB
const LAYER_BYTES_MAX = 256 * KIB
const PULLS_AT_ONCE = 8
/** What a process holds right after work is not what it keeps. */
const SETTLE_IDLE_MS = 10_000
const SETTLE_SEEDING_MS = 15_000

const options = new Command('bench:memory')
  .description('Resident memory of agents.')
  .option('--engine <name>', `one of ${ENGINE_NAMES}`, nameArgument(ENGINE_NAMES), 'native')
  .option('--blobs <count>', 'blobs that the agent seeds', countArgument, 1000)
  .option('--json', 'print one line of JSON instead of a table')
  .parse()
  .opts<Options>()

const report = await measure(options)
if (options.json) printJson(report)
else print(report)

async function measure({ engine, blobs }: Options): Promise<MemoryReport> {
  const flags = ['--engine', engine]
  await using cluster = await startCluster({ agents: 2, seederArgs: flags, agentArgs: flags })
  const [idle, seeding] = cluster.agents as [Node, Node]
  say('an idle agent')
  await delay(SETTLE_IDLE_MS)
  const idleRssMB = await residentMegabytes(idle.process.pid)
  await idle.stop()

  say(`an agent that seeds ${blobs} blobs`)
  const sizes = Array.from({ length: blobs }, (_, i) => layerBytes(i, blobs))
  const image = randomImage(sizes)
  await pushImage(cluster.seeder.url, 'bench/many', '1', image)
  const queue = image.layers.map(({ digest }) => digest)
  const pullOne = async () => {
    for (let digest = queue.pop(); digest !== undefined; digest = queue.pop()) {
      await pullBlob(seeding.url, 'bench/many', digest)
    }
  }
  await Promise.all(Array.from({ length: PULLS_AT_ONCE }, pullOne))
  for (const { digest } of image.layers) await untilCached(seeding, digest)
  await delay(SETTLE_SEEDING_MS)
  return {
    engine,
    blobs,
    idleRssMB,
    seedingRssMB: await residentMegabytes(seeding.process.pid),
    seederRssMB: await residentMegabytes(cluster.seeder.process.pid),
  }
}

/** From the smallest to the largest in even steps. */
function layerBytes(index: number, count: number): number {
  const share = count === 1 ? 0 : index / (count - 1)
  return Math.round(LAYER_BYTES_MIN + share * (LAYER_BYTES_MAX - LAYER_BYTES_MIN))
}

function print({ blobs, idleRssMB, seedingRssMB, seederRssMB }: MemoryReport): void {
  const text = (value: number) => rounded(value).toFixed(1)
  printTable([
    ['resident', 'MB'],
    ['an idle agent', text(idleRssMB)],
    [`an agent that seeds ${blobs} blobs`, text(seedingRssMB)],
    ['its seeder', text(seederRssMB)],
  ])
}
