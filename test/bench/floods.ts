/**
 * What strangers can cost a seeder: for each flood a seeder of its own, the memory that it has before and at the most, and how
 * long a client waits for a warm manifest (HEAD) quietly, while the flood goes on, and while a process keeps a core as busy as
 * the flood's did without sending anything: that much of the wait is the machine's and not the seeder's.
 */
import { writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseHostPort } from '@shoal/core'
import { Command } from 'commander'
import { startCluster } from '../support/cluster.ts'
import { pushImage } from '../support/push.ts'
import { countArgument, namesArgument, printJson, printTable, say } from './command-line.ts'
import { FloodProcess } from './floods/attacker.ts'
import type { FloodRow, FloodTarget } from './floods/row.ts'
import { FLOOD_NAMES, FLOOD_ROWS, type FloodName } from './floods/rows.ts'
import { randomImage } from './images.ts'
import { cpuSeconds, peakMegabytes, residentMegabytes } from './process-usage.ts'
import { rounded } from './statistics.ts'

export interface FloodReport {
  readonly name: FloodName
  readonly memoryMB: { readonly before: number; readonly peak: number; readonly ratio: number }
  /** p99 of HEADs, milliseconds. */
  readonly headMs: {
    readonly quiet: number
    readonly flooded: number
    readonly control: number
    readonly ratio: number
    readonly ratioToControl: number
  }
  /** HEADs that were not answered with 200. */
  readonly headsFailed: number
  /** Who wanted the same as the flood, from another address; zero where there is no such thing. */
  readonly honest: { readonly served: number; readonly refused: number }
  /** Of one core, while the flood went on. */
  readonly cpuShare: { readonly attacker: number; readonly seeder: number }
  readonly hasEnded: boolean
}

interface Options {
  readonly only: readonly FloodName[]
  readonly seconds: number
  readonly rate: number
  readonly addresses: number
  readonly json?: true
}

const REPOSITORY = 'bench/flooded'
const SETTLE_MS = 5_000
/** proc(5): makes the peak what is resident now. */
const CLEAR_PEAK = '5'
const HEAD_MS_MAX = 10_000
const HEADS_AT_ONCE = 32
const HONEST_AFTER_MS = 4_000
const HONEST_INTERVAL_MS = 250

const options = new Command('bench:floods')
  .description('Memory and waiting times of a seeder under floods.')
  .option('--only <names>', `some of ${FLOOD_NAMES}`, namesArgument(FLOOD_NAMES), FLOOD_NAMES)
  .option('--seconds <count>', 'how long each part is', countArgument, 15)
  .option('--rate <count>', 'HEADs a second', countArgument, 150)
  .option('--addresses <count>', 'from how many addresses a flood comes', countArgument, 1)
  .option('--json', 'print one line of JSON instead of a table')
  .parse()
  .opts<Options>()

const reports: FloodReport[] = []
for (const name of options.only) {
  say(`\n==> ${FLOOD_ROWS[name].name}`)
  reports.push(await measure(name))
}
if (options.json) printJson(reports)
else print(reports)

async function measure(name: FloodName): Promise<FloodReport> {
  const image = randomImage([1_000_000])
  await using cluster = await startCluster({ agents: 0 })
  const { seeder } = cluster
  await pushImage(seeder.url, REPOSITORY, '1', image)
  const peer = parseHostPort(seeder.peerHost)!
  const target: FloodTarget = {
    url: seeder.url,
    peerHost: peer.host,
    peerPort: peer.port,
    repository: REPOSITORY,
    manifest: image.manifest.digest,
    layer: image.layers[0]!.digest,
    addresses: options.addresses,
  }
  const { pid } = seeder.process
  await using attacker = new FloodProcess()
  await attacker.ask({ kind: 'prepare', name, target })
  const url = `${seeder.url}/v2/${REPOSITORY}/manifests/1`
  // What the first requests cost is not what the others do.
  await heads(url, 2)
  const quiet = await heads(url, options.seconds)
  await sleep(SETTLE_MS)
  await writeFile(`/proc/${pid}/clear_refs`, CLEAR_PEAK)
  const before = await residentMegabytes(pid)

  const cpuOf = async () => [await cpuSeconds(attacker.pid), await cpuSeconds(pid)] as const
  const cpuBefore = await cpuOf()
  const flooding = attacker.ask({ kind: 'flood', name, target })
  const honest = honestTries(name, target)
  const flooded = await heads(url, options.seconds)
  const tried = await honest.end()
  const hasEnded = seeder.process.hasExited
  const peak = hasEnded ? Number.NaN : await peakMegabytes(pid)
  const cpuAfter = hasEnded ? cpuBefore : await cpuOf()
  await attacker.end()
  await flooding
  const [attackerShare, seederShare] = cpuAfter.map(
    (value, i) => (value - cpuBefore[i]!) / options.seconds,
  ) as [number, number]

  const control = await controlMs(Math.min(1, attackerShare))
  const p99 = { quiet: p99Of(quiet.ms), flooded: p99Of(flooded.ms), control }
  const report = {
    name,
    memoryMB: { before, peak, ratio: rounded(peak / before) },
    headMs: {
      ...p99,
      ratio: rounded(p99.flooded / p99.quiet),
      ratioToControl: rounded(p99.flooded / p99.control),
    },
    headsFailed: flooded.failed,
    honest: tried,
    cpuShare: { attacker: rounded(attackerShare), seeder: rounded(seederShare) },
    hasEnded,
  }
  say(JSON.stringify(report))
  return report
}

/** One after the other, as long as the flood goes on. */
function honestTries(
  name: FloodName,
  target: FloodTarget,
): { end(): Promise<{ served: number; refused: number }> } {
  const { honest }: FloodRow = FLOOD_ROWS[name]
  const tried = { served: 0, refused: 0 }
  let isOver = false
  const going = (async () => {
    // When the flood has what it wants.
    await sleep(HONEST_AFTER_MS)
    while (honest !== undefined && !isOver) {
      if (await honest(target).catch(() => false)) tried.served++
      else tried.refused++
      await sleep(HONEST_INTERVAL_MS)
    }
  })()
  return {
    async end() {
      isOver = true
      await going
      return tried
    },
  }
}

/** p99 at a seeder that nobody floods, beside a process that keeps a core busy. */
async function controlMs(share: number): Promise<number> {
  await using cluster = await startCluster({ agents: 0 })
  await pushImage(cluster.seeder.url, REPOSITORY, '1', randomImage([1_000_000]))
  await using spinner = new FloodProcess()
  const url = `${cluster.seeder.url}/v2/${REPOSITORY}/manifests/1`
  await heads(url, 2)
  const spinning = spinner.ask({ kind: 'spin', share })
  const { ms } = await heads(url, options.seconds)
  await spinner.end()
  await spinning
  return p99Of(ms)
}

/** Asks at a fixed rate, whatever the answers do: the wait is counted from when it was time to ask. */
async function heads(url: string, seconds: number): Promise<{ ms: number[]; failed: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: HEADS_AT_ONCE })
  const ms: number[] = []
  let failed = 0
  const count = seconds * options.rate
  const startMs = performance.now()
  const asked: Promise<void>[] = []
  for (let n = 0; n < count; n++) {
    const dueMs = startMs + (n * 1_000) / options.rate
    const waitMs = dueMs - performance.now()
    if (waitMs > 0) await sleep(waitMs)
    // Late for reasons of this process's own: what the seeder is to blame for begins now.
    const beginMs = Math.max(dueMs, performance.now() - 2)
    asked.push(
      head(url, agent).then((isRight) => {
        ms.push(performance.now() - beginMs)
        if (!isRight) failed++
      }),
    )
  }
  await Promise.all(asked)
  agent.destroy()
  return { ms, failed }
}

/** What takes longer than a client would wait counts as failed. */
function head(url: string, agent: Agent): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request(url, { method: 'HEAD', agent }, (answer) => {
      answer.resume()
      answer.once('end', () => settle(answer.statusCode === 200))
    })
    const settle = (isRight: boolean) => {
      clearTimeout(timer)
      resolve(isRight)
    }
    const timer = setTimeout(() => {
      settle(false)
      asked.destroy()
    }, HEAD_MS_MAX)
    asked.once('error', () => settle(false))
    asked.end()
  })
}

function p99Of(ms: readonly number[]): number {
  const sorted = ms.toSorted((a, b) => a - b)
  return rounded(sorted[Math.ceil(sorted.length * 0.99) - 1]!)
}

function print(rows: readonly FloodReport[]): void {
  printTable([
    [
      'flood',
      'MB before',
      'peak',
      'ratio',
      'p99 ms quiet',
      'flooded',
      'control',
      'ratio',
      'to control',
      'failed',
      'honest refused',
      'CPU attacker',
      'seeder',
    ],
    ...rows.map(({ name, memoryMB, headMs, headsFailed, honest, cpuShare, hasEnded }) => [
      hasEnded ? `${name} (the seeder ended)` : name,
      memoryMB.before.toFixed(0),
      memoryMB.peak.toFixed(0),
      memoryMB.ratio.toFixed(2),
      ...[headMs.quiet, headMs.flooded, headMs.control].map((ms) => ms.toFixed(1)),
      headMs.ratio.toFixed(1),
      headMs.ratioToControl.toFixed(1),
      String(headsFailed),
      honest.served + honest.refused === 0 ? '–' : `${honest.refused} of ${honest.served + honest.refused}`,
      cpuShare.attacker.toFixed(2),
      cpuShare.seeder.toFixed(2),
    ]),
  ])
}
