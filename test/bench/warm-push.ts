/**
 * Fan-out during a push: CI pushes one layer at a given rate, eight agents are warm by a rule, and what is measured is how long
 * after the push has ended the last of them has the layer, checked and kept.
 */
import { createReadStream } from 'node:fs'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { startCluster } from '../support/cluster.ts'
import { jsonEvent } from '../support/process.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { type BenchBlob, makeBenchBlob } from './bench-blob.ts'
import { bytesArgument, countArgument, printJson, printTable, say } from './command-line.ts'
import { type Spread, spread } from './statistics.ts'

export interface WarmPushReport {
  readonly agents: number
  readonly bytes: number
  readonly bytesPerSecond: number
  readonly runs: number
  readonly pushSeconds: Spread
  /** From the end of the push to the last agent's complete layer. */
  readonly lastSeconds: Spread
  /** What the seeder sent, in layers. */
  readonly seederSent: Spread
}

interface Options {
  readonly agents: number
  readonly bytes: number
  readonly rate: number
  readonly runs: number
  readonly json?: true
}

const REPOSITORY = 'bench/app'
/** The push is kept to its rate in steps of this size. */
const STEP_BYTES = 256 * 1024

const options = new Command('bench:warm-push')
  .description('How long after a push warm agents have the layer.')
  .option('--agents <count>', 'agents', countArgument, 8)
  .option('--bytes <size>', 'size of the layer', bytesArgument, 500e6)
  .option('--rate <bytes>', 'bytes a second of the push', bytesArgument, 25e6)
  .option('--runs <count>', 'rounds', countArgument, 3)
  .option('--json', 'print one line of JSON instead of a table')
  .parse()
  .opts<Options>()

const report = await measure(options)
if (options.json) printJson(report)
else print(report)

async function measure({ agents, bytes, rate, runs }: Options): Promise<WarmPushReport> {
  await using folder = await temporaryFolder('bench')
  const blob = await makeBenchBlob(folder.path, bytes)
  const done = []
  for (let round = 1; round <= runs; round++) {
    const run = await warmPush(agents, blob, rate)
    done.push(run)
    say(
      `round ${round} of ${runs}: pushed in ${run.pushSeconds.toFixed(1)} s, last ${run.lastSeconds.toFixed(2)} s later`,
    )
  }
  return {
    agents,
    bytes,
    bytesPerSecond: rate,
    runs,
    pushSeconds: spread(done.map(({ pushSeconds }) => pushSeconds)),
    lastSeconds: spread(done.map(({ lastSeconds }) => lastSeconds)),
    seederSent: spread(done.map(({ seederSent }) => seederSent)),
  }
}

async function warmPush(agents: number, blob: BenchBlob, rate: number) {
  const { digest, length } = blob.metainfo
  await using cluster = await startCluster({ agents, seederArgs: ['--warm-pushes', 'bench/*:all'] })
  const isComplete = jsonEvent('blob-complete')
  const completed = Promise.all(
    cluster.agents.map(async ({ process }) => {
      await process.waitForLine((line) => isComplete(line) && line.includes(digest), 600_000)
      return performance.now()
    }),
  )
  const startMs = performance.now()
  await push(cluster.seeder.url, blob, rate)
  const endMs = performance.now()
  const lastMs = Math.max(...(await completed))
  const sent = await cluster.seeder.metric('shoal_seeder_sent_bytes_total')
  return {
    pushSeconds: (endMs - startMs) / 1000,
    lastSeconds: (lastMs - endMs) / 1000,
    seederSent: sent / length,
  }
}

async function push(seederUrl: string, { metainfo: { digest, length }, path }: BenchBlob, rate: number) {
  const begun = await fetch(`${seederUrl}/v2/${REPOSITORY}/blobs/uploads/`, { method: 'POST' })
  const url = new URL(`${begun.headers.get('location')}?digest=${digest}`, seederUrl)
  const put = request(url, { method: 'PUT', headers: { 'content-length': length } })
  const answered = new Promise<number>((resolve, reject) => {
    put.on('error', reject)
    put.on('response', (answer) => resolve(answer.resume().statusCode ?? 0))
  })
  const startMs = performance.now()
  let sent = 0
  for await (const chunk of createReadStream(path, { highWaterMark: STEP_BYTES })) {
    if (!put.write(chunk)) await new Promise((resolve) => put.once('drain', resolve))
    sent += chunk.length
    const aheadMs = startMs + (sent / rate) * 1000 - performance.now()
    if (aheadMs > 1) await sleep(aheadMs)
  }
  put.end()
  const status = await answered
  if (status !== 201) throw new Error(`the push was answered with ${status}`)
}

function print({ pushSeconds, lastSeconds, seederSent }: WarmPushReport): void {
  const row = (name: string, { median, min, max }: Spread) => [
    name,
    ...[median, min, max].map((value) => value.toFixed(2)),
  ]
  printTable([
    ['', 'median', 'min', 'max'],
    row('push, s', pushSeconds),
    row('last agent after it, s', lastSeconds),
    row('seeder sent, layers', seederSent),
  ])
}
