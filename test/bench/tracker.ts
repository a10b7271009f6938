/**
 * What many agents cost the tracker: they connect, all announce every layer of an image at once, and complete one layer
 * after the other. The tracker is a process of its own, the agents are played by others; real WebSockets over loopback.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { Command, InvalidArgumentError } from 'commander'
import { SHOAL_NODE_FLAGS } from '../support/shoal.ts'
import { countArgument, printJson, printTable, say } from './command-line.ts'
import { cpuSeconds, peakMegabytes, residentMegabytes } from './process-usage.ts'
import { rounded } from './statistics.ts'
import { Player } from './tracker/player.ts'
import type { Question } from './tracker/protocol.ts'

export interface TrackerReport {
  readonly agents: number
  readonly layers: number
  readonly zones: number
  readonly phases: readonly PhaseReport[]
  /** From the announce of all until the median agent, and the last, knew somebody in every swarm. */
  readonly neighboursSeconds: { readonly median: number; readonly last: number }
  readonly rssMB: {
    readonly idle: number
    readonly connected: number
    readonly end: number
    readonly peak: number
  }
  readonly rssKBPerAgent: number
}

export interface PhaseReport {
  readonly name: 'connect' | 'announce' | 'complete' | 'rest' | 'leave'
  readonly seconds: number
  readonly trackerCpuSeconds: number
  /** What the tracker took in: streams, swarms announced, layers completed, agents at rest or gone. */
  readonly events: number
  readonly framesIn: number
  readonly framesOut: number
  readonly megabytesOut: number
}

interface Options {
  readonly agents: number
  readonly layers: number
  readonly zones: number
  readonly generators: number
  readonly seconds: number
  readonly profile?: string
  readonly json?: true
}

const AGENTS_MAX = 20_000
const REST_SECONDS = 20
/** Descriptors of a process besides its streams. */
const DESCRIPTORS_SPARE = 100

const options = new Command('bench:tracker')
  .description('What many agents cost the tracker.')
  .option('--agents <count>', 'agents that connect', agentsArgument, 10_000)
  .option('--layers <count>', 'layers that each announces', countArgument, 20)
  .option('--zones <count>', 'zones that the agents are in', countArgument, 1)
  .option('--generators <count>', 'processes that play the agents', countArgument, 4)
  .option('--seconds <count>', 'over which the layers complete', countArgument, 30)
  .option('--profile <folder>', 'write a CPU profile of the tracker there')
  .option('--json', 'print one line of JSON instead of a table')
  .parse()
  .opts<Options>()

await requireDescriptors(options.agents)
const report = await measure(options)
if (options.json) printJson(report)
else print(report)

async function measure({
  agents,
  layers,
  zones,
  generators,
  seconds,
  profile,
}: Options): Promise<TrackerReport> {
  const flags = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`]
  await using tracker = new Player('tracker-process.js', [...SHOAL_NODE_FLAGS, ...flags])
  const { port } = await tracker.expect('ready')
  const players = Array.from({ length: generators }, () => new Player('agents-process.ts', []))
  await using _end = {
    [Symbol.asyncDispose]: () => Promise.all(players.map((one) => one.end())).then(() => {}),
  }
  await Promise.all(players.map((player) => player.expect('ready')))
  const idle = await settledMegabytes(tracker.pid)

  const phases: PhaseReport[] = []
  const phase = async (
    name: PhaseReport['name'],
    counts: { events: number; framesIn: number },
    ask: (player: Player, index: number) => Question,
  ) => {
    const [cpuBefore, startMs] = [await cpuSeconds(tracker.pid), performance.now()]
    const answers = await Promise.all(players.map((player, index) => player.ask(ask(player, index))))
    const elapsed = (performance.now() - startMs) / 1000
    const sum = (of: 'frames' | 'bytes') => answers.reduce((total, { heard }) => total + heard[of], 0)
    phases.push({
      name,
      seconds: rounded(elapsed),
      trackerCpuSeconds: rounded((await cpuSeconds(tracker.pid)) - cpuBefore),
      ...counts,
      framesOut: sum('frames'),
      megabytesOut: rounded(sum('bytes') / 1e6),
    })
    say(`${name}: ${elapsed.toFixed(1)} s`)
    return answers
  }

  await phase('connect', { events: agents, framesIn: agents }, (_player, index) => {
    const [from, to] = [index, index + 1].map((at) => Math.floor((at * agents) / generators)) as [
      number,
      number,
    ]
    return { kind: 'connect', share: { port: port!, from, to, layers, zones } }
  })
  const connected = await settledMegabytes(tracker.pid)
  const announced = await phase('announce', { events: agents * layers, framesIn: agents }, () => ({
    kind: 'announce',
  }))
  const neighboursMs = announced.flatMap((answer) => answer.neighboursMs ?? []).toSorted((a, b) => a - b)
  const completions = { events: agents * layers, framesIn: agents * layers }
  await phase('complete', completions, () => ({ kind: 'complete', seconds }))
  await phase('rest', { events: agents, framesIn: 0 }, () => ({ kind: 'rest', seconds: REST_SECONDS }))
  const end = await settledMegabytes(tracker.pid)
  const [cpuBefore, startMs] = [await cpuSeconds(tracker.pid), performance.now()]
  await Promise.all(players.map((player) => player.end()))
  while ((await tracker.count()) > 0) await delay(50)
  phases.push({
    name: 'leave',
    seconds: rounded((performance.now() - startMs) / 1000),
    trackerCpuSeconds: rounded((await cpuSeconds(tracker.pid)) - cpuBefore),
    events: agents,
    framesIn: 0,
    framesOut: 0,
    megabytesOut: 0,
  })
  return {
    agents,
    layers,
    zones,
    phases,
    neighboursSeconds: {
      median: rounded(neighboursMs[neighboursMs.length >> 1]! / 1000),
      last: rounded(neighboursMs.at(-1)! / 1000),
    },
    rssMB: { idle, connected, end, peak: await peakMegabytes(tracker.pid) },
    rssKBPerAgent: rounded(((end - idle) * 1000) / agents),
  }
}

/** What a process holds right after work is not what it keeps. */
async function settledMegabytes(pid: number): Promise<number> {
  await delay(2_000)
  return residentMegabytes(pid)
}

/** Node raises its own limit to the hard one; no further. */
async function requireDescriptors(agents: number): Promise<void> {
  const limits = await readFile('/proc/self/limits', 'utf8')
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(limits)?.[1]
  if (hard === 'unlimited' || Number(hard) >= agents + DESCRIPTORS_SPARE) return
  say(`${agents} agents need as many open files in the tracker, and the limit is ${hard}.`)
  say(`Raise it (as root: ulimit -Hn ${agents + DESCRIPTORS_SPARE}) or say --agents with fewer.`)
  process.exit(1)
}

function agentsArgument(text: string): number {
  const agents = Number(text)
  if (!/^[1-9]\d*$/.test(text) || agents > AGENTS_MAX)
    throw new InvalidArgumentError(`Say a whole number from 1 to ${AGENTS_MAX}.`)
  return agents
}

function print({ phases, neighboursSeconds, rssMB, rssKBPerAgent }: TrackerReport): void {
  printTable([
    [
      '',
      'seconds',
      'tracker CPU s',
      'events',
      'events/s',
      'CPU µs/event',
      'frames in',
      'frames out',
      'MB out',
    ],
    ...phases.map((phase) => [
      phase.name,
      phase.seconds.toFixed(2),
      phase.trackerCpuSeconds.toFixed(2),
      String(phase.events),
      (phase.events / phase.seconds).toFixed(0),
      ((phase.trackerCpuSeconds / phase.events) * 1e6).toFixed(1),
      String(phase.framesIn),
      String(phase.framesOut),
      phase.megabytesOut.toFixed(1),
    ]),
  ])
  const { median, last } = neighboursSeconds
  console.log(`neighbours in every swarm: median ${median} s, last ${last} s after the announce of all`)
  const { idle, connected, end, peak } = rssMB
  console.log(`tracker memory: ${idle} MB idle, ${connected} connected, ${end} at the end, ${peak} at most`)
  console.log(`${rssKBPerAgent} KB an agent`)
}
