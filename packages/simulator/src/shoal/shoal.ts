/**
 * Shoal, simulated: the node engine, the pull, the tracker's table and the piece lengths that agents and seeder run, on the model
 * of the network. What is modelled beside them is in docs/fan-out.md, "The model". Pure.
 */

import {
  assert,
  Bitfield,
  createPrng,
  type InfoHash,
  type PeerAddress,
  type PeerId,
  type Prng,
  pieceCount,
  pieceLengthFor,
} from '@shoal/core'
import {
  type BlobShape,
  NodeEngine,
  PULL_LIMITS,
  type SwarmNews,
  type TrackerEvent,
  TrackerTable,
} from '@shoal/engine'
import { HEARTBEAT_MS } from '@shoal/wire'
import { Measure } from '../measure.ts'
import { Host, Network } from '../network.ts'
import { type NodePlan, planNodes } from '../plan.ts'
import { boundSeconds, imageBytes, type Scenario } from '../scenario.ts'
import type { Simulate, SimulationProgress, Watch } from '../simulation.ts'
import type { StrategyRun } from '../strategy-run.ts'
import { TimeQueue } from '../time-queue.ts'
import { ColdOrigin } from './cold-origin.ts'
import { SimNode } from './node.ts'
import { Puller, type PullerParts } from './puller.ts'

/** Virtual time after which those who have not finished are unfinished. */
const TIME_MAX_BOUNDS = 40
const TIME_MAX_EXTRA_MS = 240_000
/** Of a node's engine, every so many steps of the run; all of them where the run is small. */
const CHECK_EVERY_STEPS = 2_000
const SMALL_NODES_PIECES = 1_500

export const simulateShoal: Simulate = (scenario, _strategy, onProgress) =>
  new ShoalSimulation(scenario).run(onProgress)

/** The same run, step by step, for who looks for what went wrong in it. */
export function replayShoal(scenario: Scenario, watch: Watch): StrategyRun {
  return new ShoalSimulation(scenario, watch).run(() => {})
}

class ShoalSimulation {
  readonly #scenario: Scenario
  readonly #seeSteps: Watch | undefined
  readonly #queue = new TimeQueue()
  readonly #network: Network
  readonly #measure: Measure
  readonly #prng: Prng
  readonly #table: TrackerTable
  readonly #pullerParts: PullerParts
  readonly #pullers: Puller[] = []
  readonly #byPeerId = new Map<PeerId, Puller>()
  readonly #seeder: SimNode
  readonly #originHost: Host
  readonly #cold: ColdOrigin | undefined
  readonly #layers: readonly { readonly infoHash: InfoHash; readonly shape: BlobShape }[]
  readonly #checkEvery: number
  #nextConnection = 1
  #steps = 0
  #alive = 0
  #done = 0
  #wave = 0
  #leftInWave = 0

  constructor(scenario: Scenario, watch?: Watch) {
    this.#scenario = scenario
    this.#seeSteps = watch
    this.#prng = createPrng(scenario.seed + 1)
    this.#measure = new Measure(scenario)
    this.#network = new Network(this.#queue, {
      latencyMs: scenario.latencyMs,
      crossLatencyMs: scenario.zones.crossLatencyMs,
      zoneCount: scenario.zones.count,
      crossBytesPerMs: scenario.zones.crossBytesPerSecond / 1000,
      linkBytesPerMs: scenario.linkBytesPerSecond / 1000,
    })
    this.#layers = scenario.layers.map((length, position) => ({
      infoHash: (position + 1).toString(16).padStart(40, '0'),
      shape: { length, pieceLength: pieceLengthFor(length) },
    }))
    const pieces = this.#layers.reduce((sum, { shape }) => sum + pieceCount(shape), 0)
    this.#checkEvery = scenario.nodes * pieces <= SMALL_NODES_PIECES ? 1 : CHECK_EVERY_STEPS

    const seederRate = scenario.seederLinkBytesPerSecond / 1000
    this.#seeder = this.#createNode('ff'.repeat(20), 'seeder', {
      host: new Host({ upBytesPerMs: seederRate, downBytesPerMs: seederRate, zone: 0 }),
      isBlackHole: false,
    })
    const originRate = scenario.originBytesPerSecond / 1000
    this.#originHost = new Host({ upBytesPerMs: originRate, downBytesPerMs: originRate, zone: 0 })
    this.#cold = scenario.coldOrigin
      ? new ColdOrigin({
          network: this.#network,
          origin: this.#originHost,
          seeder: this.#seeder.init.host,
          measure: this.#measure,
          latencyMs: scenario.originLatencyMs,
        })
      : undefined
    for (const { infoHash, shape } of this.#layers)
      this.#seeder.join(infoHash, shape, Bitfield.full(pieceCount(shape)))
    this.#table = new TrackerTable({ seeder: this.#seeder.init.address, prng: createPrng(scenario.seed + 2) })
    this.#pullerParts = {
      network: this.#network,
      measure: this.#measure,
      prng: this.#prng,
      seeder: this.#seeder,
      originHost: this.#originHost,
      layers: this.#layers,
      answer: (puller) => this.#answer(puller),
      track: (event) => this.#track(event),
      onDone: (puller) => this.#finished(puller),
    }
    for (const plan of planNodes(scenario)) this.#addPuller(plan)
  }

  run(onProgress: (progress: SimulationProgress) => void): ReturnType<Simulate> {
    const scenario = this.#scenario
    const boundMs = boundSeconds(scenario) * 1000
    const untilMs = boundMs * TIME_MAX_BOUNDS + TIME_MAX_EXTRA_MS
    const wanted = imageBytes(scenario) * scenario.nodes
    this.#beginWave()
    for (let events = 1; this.#done < this.#alive && this.#queue.runOne(untilMs); events++) {
      this.#measure.passed(this.#queue.nowMs)
      if (events % 100_000 === 0) {
        onProgress({
          strategy: 'shoal',
          completedNodes: this.#measure.completedNodes,
          atSeconds: this.#queue.nowMs / 1000,
          events,
          receivedShare: this.#measure.receivedBytes / wanted,
        })
      }
    }
    this.#checkAtTheEnd()
    const swarmSentBytes = this.#pullers.reduce((sum, { node }) => sum + node.init.host.sentBytes, 0)
    return this.#measure.result('shoal', this.#queue.nowMs, {
      unfinished: this.#pullers.filter(({ isDone, node }) => !isDone && !node.isDead).length,
      crossZoneBytes: this.#network.crossZoneBytes,
      seederSentBytes: this.#seeder.init.host.sentBytes,
      swarmSentBytes: swarmSentBytes + this.#seeder.init.host.sentBytes,
    })
  }

  // The cluster

  #createNode(peerId: PeerId, name: string, init: { host: Host; isBlackHole: boolean }): SimNode {
    const role = name === 'seeder' ? 'seeder' : 'agent'
    return new SimNode(
      {
        network: this.#network,
        find: ({ peerId: id }) =>
          id === this.#seeder.init.address.peerId ? this.#seeder : this.#byPeerId.get(id)?.node,
        nextConnection: () => this.#nextConnection++,
        whenReadable: (node, layer, index, run) => {
          if (node === this.#seeder && this.#cold !== undefined) this.#cold.whenReadable(layer, index, run)
          else run()
        },
        watch: this.#seeSteps,
        stepped: (node) => this.#stepped(node),
        onPiece: ({ init: { address } }, layer, index) => {
          this.#byPeerId.get(address.peerId)?.pieceCame(layer, index)
          this.#endSeederInTime()
        },
        onBlock: ({ init: { address } }, { infoHash }, bytes, from) => {
          this.#measure.received(from === this.#seeder ? 'seeder' : 'peer', bytes)
          this.#byPeerId.get(address.peerId)?.bytesCame(infoHash)
        },
      },
      {
        address: { peerId, host: name, port: 1, role },
        engine: new NodeEngine({
          peerId,
          prng: createPrng(this.#prng.below(2 ** 31)),
          isSource: role === 'seeder',
          zone: `zone-${init.host.zone}`,
        }),
        diskBytesPerMs: this.#scenario.diskBytesPerSecond / 1000,
        ...init,
      },
    )
  }

  #addPuller(plan: NodePlan): void {
    const peerId = (plan.index + 1).toString(16).padStart(40, '0')
    const node = this.#createNode(peerId, `node-${plan.index}`, {
      host: new Host({
        upBytesPerMs: plan.linkBytesPerMs,
        downBytesPerMs: plan.linkBytesPerMs,
        zone: plan.zone,
      }),
      isBlackHole: plan.isBlackHole,
    })
    const { latencyMs, originLatencyMs, layersAtATime } = this.#scenario
    const puller = new Puller(this.#pullerParts, { plan, node, latencyMs, originLatencyMs, layersAtATime })
    this.#pullers.push(puller)
    this.#byPeerId.set(peerId, puller)
    this.#alive++
    // Agents were there before anybody pulled.
    this.#track({ kind: 'agent-joined', agent: { address: node.init.address, zone: `zone-${plan.zone}` } })
    if (plan.diesAtMs !== undefined)
      this.#queue.at(plan.diesAtMs, { run: () => this.#die(puller, plan.isDeathHeard) })
  }

  #beginWave(): void {
    const { nowMs } = this.#queue
    const wave = this.#pullers.filter(({ plan, node }) => plan.wave === this.#wave && !node.isDead)
    this.#leftInWave = wave.length
    for (const puller of wave) this.#queue.at(puller.plan.startMs ?? nowMs, { run: () => puller.start() })
  }

  #die(puller: Puller, isHeard: boolean): void {
    if (puller.isDone) return
    puller.node.die(isHeard)
    this.#alive--
    this.#leaveWave()
    const { latencyMs } = this.#scenario
    // A silent machine is found out by the tracker's second ping; its peers find out by themselves before.
    const heardMs = isHeard ? latencyMs : 2 * HEARTBEAT_MS
    this.#queue.at(this.#queue.nowMs + heardMs, {
      run: () => this.#track({ kind: 'agent-left', peerId: puller.node.init.address.peerId }),
    })
  }

  #leaveWave(): void {
    if (--this.#leftInWave > 0 || this.#done === this.#alive) return
    this.#wave++
    this.#beginWave()
  }

  // A pull

  /** Of all layers: the seeder's word, or that of other agents in its place. */
  #answer({ node }: Puller): SwarmNews[] {
    const { peerId } = node.init.address
    if (this.#seeder.isDead) return this.#layers.map(() => ({ peers: this.#contacts(), imports: undefined }))
    const swarms = this.#layers.map(({ infoHash }) => ({ infoHash, state: 'leeching' as const }))
    this.#track({ kind: 'announced', peerId, swarms }, peerId)
    return this.#layers.map(({ infoHash }) => ({
      peers: this.#table.neighbours(infoHash, peerId),
      imports: this.#table.imports(infoHash, peerId),
    }))
  }

  /** Other agents, in the seeder's place. */
  #contacts(): PeerAddress[] {
    const others = this.#pullers.filter(({ startedAtMs, node }) => startedAtMs !== undefined && !node.isDead)
    return this.#prng
      .shuffled(others)
      .slice(0, PULL_LIMITS.contactsAsked)
      .map(({ node }) => node.init.address)
  }

  #finished(puller: Puller): void {
    this.#done++
    this.#measure.finished(this.#queue.nowMs - puller.startedAtMs!)
    this.#leaveWave()
  }

  #endSeederInTime(): void {
    const { seederDiesAt, nodes } = this.#scenario
    if (seederDiesAt === undefined || this.#seeder.isDead) return
    if (this.#measure.receivedBytes < seederDiesAt * nodes * imageBytes(this.#scenario)) return
    this.#seeder.die(true)
  }

  // The tracker

  #track(event: TrackerEvent, answering?: PeerId): void {
    if (this.#seeder?.isDead) return
    for (const effect of this.#table.step(Math.floor(this.#queue.nowMs), event)) {
      if (effect.kind !== 'send-peers' && effect.kind !== 'set-imports') continue
      if (effect.to === answering) continue
      const { to, infoHash } = effect
      const news = effect.kind === 'send-peers' ? { peers: effect.peers } : { imports: effect.imports }
      this.#queue.after(this.#scenario.latencyMs, { run: () => this.#byPeerId.get(to)?.hear(infoHash, news) })
    }
  }

  // Checks

  #stepped(node: SimNode): void {
    if (this.#steps++ % this.#checkEvery === 0) node.init.engine.check()
  }

  #checkAtTheEnd(): void {
    for (const puller of this.#pullers) {
      if (puller.node.isDead) continue
      puller.node.init.engine.check()
      puller.check()
    }
    if (!this.#seeder.isDead) this.#seeder.init.engine.check()
    this.#table.check()
    const hosts = [...this.#pullers.map(({ node }) => node), this.#seeder].map(({ init }) => init.host)
    hosts.push(this.#originHost)
    const sum = (of: (host: Host) => number) => hosts.reduce((total, host) => total + of(host), 0)
    assert(
      sum(({ sentBytes }) => sentBytes) ===
        sum(({ receivedBytes }) => receivedBytes) + this.#network.travellingBytes + this.#network.lostBytes,
      'every byte that was sent has arrived, is on its way, or was lost with its receiver',
    )
  }
}
