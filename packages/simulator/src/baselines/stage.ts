/**
 * What every strategy that Shoal is compared with has in common: the plan's nodes on the model of the network, who starts
 * when, who dies, and when it is over. Pure.
 */

import { Measure } from '../measure.ts'
import { Host, Network } from '../network.ts'
import { type NodePlan, planNodes } from '../plan.ts'
import { boundSeconds, imageBytes, type Scenario, type StrategyName } from '../scenario.ts'
import type { SimulationProgress } from '../simulation.ts'
import type { StrategyRun } from '../strategy-run.ts'
import { TimeQueue } from '../time-queue.ts'

const TIME_MAX_BOUNDS = 40
const TIME_MAX_EXTRA_MS = 240_000

export interface Member {
  readonly plan: NodePlan
  readonly host: Host
  startedAtMs: number | undefined
  isDone: boolean
}

export interface Strategy<M extends Member> {
  readonly create: (plan: NodePlan, host: Host) => M
  /** The member's client asks. */
  readonly start: (member: M) => void
  readonly died: (member: M) => void
  readonly seederDied: () => void
}

export class Stage<M extends Member> {
  readonly scenario: Scenario
  readonly queue = new TimeQueue()
  readonly network: Network
  readonly measure: Measure
  readonly seeder: Host
  readonly origin: Host
  members: M[] = []
  isSeederDead = false
  readonly #name: StrategyName
  #strategy: Strategy<M> | undefined
  #wave = 0
  #leftInWave = 0
  #alive = 0
  #done = 0

  constructor(scenario: Scenario, name: StrategyName) {
    this.scenario = scenario
    this.#name = name
    this.measure = new Measure(scenario)
    this.network = new Network(this.queue, {
      latencyMs: scenario.latencyMs,
      crossLatencyMs: scenario.zones.crossLatencyMs,
      zoneCount: scenario.zones.count,
      crossBytesPerMs: scenario.zones.crossBytesPerSecond / 1000,
      linkBytesPerMs: scenario.linkBytesPerSecond / 1000,
    })
    const hostOf = (bytesPerSecond: number) =>
      new Host({ upBytesPerMs: bytesPerSecond / 1000, downBytesPerMs: bytesPerSecond / 1000, zone: 0 })
    this.seeder = hostOf(scenario.seederLinkBytesPerSecond)
    this.origin = hostOf(scenario.originBytesPerSecond)
  }

  run(strategy: Strategy<M>, onProgress: (progress: SimulationProgress) => void): StrategyRun {
    const { scenario, queue, measure } = this
    this.#strategy = strategy
    this.members = planNodes(scenario).map((plan) => {
      const rate = plan.linkBytesPerMs
      const host = new Host({ upBytesPerMs: rate, downBytesPerMs: rate, zone: plan.zone })
      const member = strategy.create(plan, host)
      if (plan.diesAtMs !== undefined) queue.at(plan.diesAtMs, { run: () => this.#die(member) })
      return member
    })
    this.#alive = this.members.length
    const wanted = imageBytes(scenario) * scenario.nodes
    const untilMs = boundSeconds(scenario) * 1000 * TIME_MAX_BOUNDS + TIME_MAX_EXTRA_MS
    this.#beginWave()
    for (let events = 1; this.#done < this.#alive && queue.runOne(untilMs); events++) {
      measure.passed(queue.nowMs)
      const receivedShare = measure.receivedBytes / wanted
      if (!this.isSeederDead && receivedShare >= (scenario.seederDiesAt ?? Number.POSITIVE_INFINITY)) {
        this.isSeederDead = true
        this.seeder.isDead = true
        strategy.seederDied()
      }
      if (events % 100_000 !== 0) continue
      onProgress({
        strategy: this.#name,
        completedNodes: measure.completedNodes,
        atSeconds: queue.nowMs / 1000,
        events,
        receivedShare,
      })
    }
    const sent = this.members.reduce((sum, { host }) => sum + host.sentBytes, this.seeder.sentBytes)
    return measure.result(this.#name, queue.nowMs, {
      unfinished: this.members.filter(({ isDone, host }) => !isDone && !host.isDead).length,
      crossZoneBytes: this.network.crossZoneBytes,
      seederSentBytes: this.seeder.sentBytes,
      swarmSentBytes: sent,
    })
  }

  finished(member: M): void {
    member.isDone = true
    this.#done++
    this.measure.finished(this.queue.nowMs - member.startedAtMs!)
    this.#leaveWave()
  }

  #beginWave(): void {
    const wave = this.members.filter(({ plan, host }) => plan.wave === this.#wave && !host.isDead)
    this.#leftInWave = wave.length
    for (const member of wave)
      this.queue.at(member.plan.startMs ?? this.queue.nowMs, {
        run: () => {
          if (member.host.isDead) return
          member.startedAtMs = this.queue.nowMs
          this.#strategy!.start(member)
        },
      })
  }

  #die(member: M): void {
    if (member.isDone) return
    member.host.isDead = true
    this.#alive--
    this.#strategy!.died(member)
    this.#leaveWave()
  }

  #leaveWave(): void {
    if (--this.#leftInWave > 0 || this.#done === this.#alive) return
    this.#wave++
    this.#beginWave()
  }
}
