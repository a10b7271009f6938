/**
 * Shoal, simulated: the node engine, the tracker's table, the source ladder and the piece lengths that agents and seeder run,
 * on the model of the network. What is modelled beside them is the agent's way of a pull: one question, then all swarms at
 * once, then the ladder. Pure.
 */

import {
  assert,
  Bitfield,
  createPrng,
  type InfoHash,
  type PeerAddress,
  type PeerId,
  type Prng,
  pieceBytes,
  pieceCount,
  pieceLengthFor,
} from '@shoal/core'
import {
  afterFailure,
  type BlobShape,
  HEALTHY,
  type ImportShare,
  NodeEngine,
  type NodeEvent,
  nextStep,
  pickPieces,
  type SourceHealth,
  TrackerTable,
} from '@shoal/engine'
import { INLINE_BLOB_BYTES_MAX } from '@shoal/wire'
import { Measure } from '../measure.ts'
import { Host, Network, type Pipe } from '../network.ts'
import { type NodePlan, planNodes } from '../plan.ts'
import { Reader } from '../reader.ts'
import { boundSeconds, imageBytes, type Scenario } from '../scenario.ts'
import type { Simulate, SimulationProgress, Watch } from '../simulation.ts'
import type { StrategyRun } from '../strategy-run.ts'
import { TimeQueue } from '../time-queue.ts'
import { ColdOrigin } from './cold-origin.ts'
import { type Layer, SimNode } from './node.ts'

/** Changes that an agent tells the tracker of are gathered so long. */
const GATHER_MS = 5
/** Virtual time after which those who have not finished are unfinished. */
const TIME_MAX_BOUNDS = 40
const TIME_MAX_EXTRA_MS = 240_000
/** Of neighbouring pieces that the origin is asked for at a time; the agent's figure. */
const RUN_BYTES_MAX = 8 * 1024 * 1024
/** Of a node's engine, every so many steps of the run; all of them where the run is small. */
const CHECK_EVERY_STEPS = 2_000
const SMALL_NODES_PIECES = 1_500

export const simulateShoal: Simulate = (scenario, _strategy, onProgress) =>
  new ShoalSimulation(scenario).run(onProgress)

/** The same run, step by step, for who looks for what went wrong in it. */
export function replayShoal(scenario: Scenario, watch: Watch): StrategyRun {
  return new ShoalSimulation(scenario, watch).run(() => {})
}

/** What the seeder says of one layer. */
interface Answer {
  readonly peers: readonly PeerAddress[]
  readonly imports: ImportShare | undefined
}

interface Puller {
  readonly plan: NodePlan
  readonly node: SimNode
  startedAtMs: number | undefined
  isDone: boolean
  reader: Reader | undefined
  readonly ladders: (Ladder | undefined)[]
}

/** What the agent's download of one layer keeps. */
interface Ladder {
  readonly startedAtMs: number
  readonly chance: number
  peerBytesAtMs: number
  anyBytesAtMs: number
  seeder: SourceHealth
  origin: SourceHealth
}

class ShoalSimulation {
  readonly #scenario: Scenario
  readonly #seeSteps: Watch | undefined
  readonly #queue = new TimeQueue()
  readonly #network: Network
  readonly #measure: Measure
  readonly #prng: Prng
  readonly #table: TrackerTable
  readonly #pullers: Puller[] = []
  readonly #byPeerId = new Map<PeerId, Puller>()
  readonly #seeder: SimNode
  readonly #originHost: Host
  readonly #cold: ColdOrigin | undefined
  readonly #layers: readonly { readonly infoHash: InfoHash; readonly shape: BlobShape }[]
  readonly #layerOf = new Map<InfoHash, number>()
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
    for (const [position, { infoHash }] of this.#layers.entries()) this.#layerOf.set(infoHash, position)
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
        onPiece: (node, layer, index) => this.#pieceCame(node, layer, index),
        onBlock: (node, layer, bytes, from) => this.#bytesCame(node, layer, bytes, from),
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
    const puller: Puller = {
      plan,
      node,
      startedAtMs: undefined,
      isDone: false,
      reader: undefined,
      ladders: [],
    }
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
    for (const puller of wave)
      this.#queue.at(puller.plan.startMs ?? nowMs, { run: () => this.#startPull(puller) })
  }

  #die(puller: Puller, isHeard: boolean): void {
    if (puller.isDone) return
    puller.node.die(isHeard)
    this.#alive--
    this.#leaveWave()
    const { latencyMs } = this.#scenario
    // A silent machine is found out by the tracker's pings; its peers find out by themselves before.
    const heardMs = isHeard ? latencyMs : 20_000
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

  /** One question to the seeder, answered with the metainfo of all layers and neighbours in their swarms. */
  #startPull(puller: Puller): void {
    if (puller.node.isDead) return
    puller.startedAtMs = this.#queue.nowMs
    const latencyMs = this.#network.latencyMs(puller.node.init.host, this.#seeder.init.host)
    this.#queue.after(latencyMs, {
      run: () => {
        const answers = this.#answer(puller)
        this.#queue.after(latencyMs, { run: () => this.#joinSwarms(puller, answers) })
      },
    })
  }

  #answer(puller: Puller): Answer[] {
    const { peerId } = puller.node.init.address
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
      .slice(0, 8)
      .map(({ node }) => node.init.address)
  }

  #joinSwarms(puller: Puller, answers: readonly Answer[]): void {
    const { node } = puller
    if (node.isDead) return
    const layers = this.#layers.map(({ infoHash, shape }) =>
      node.join(infoHash, shape, new Bitfield(pieceCount(shape))),
    )
    puller.reader = new Reader(
      layers.map(({ have }) => have),
      this.#scenario.layersAtATime,
    )
    for (const [position, layer] of layers.entries()) {
      if (layer.shape.length <= INLINE_BLOB_BYTES_MAX) {
        this.#measure.received('seeder', layer.shape.length)
        node.step({ kind: 'piece-added', infoHash: layer.infoHash, index: 0 })
        continue
      }
      this.#watch(puller, position)
      node.step({ kind: 'download-wanted', infoHash: layer.infoHash })
      const { peers, imports } = answers[position]!
      if (imports !== undefined) node.step({ kind: 'imports-set', infoHash: layer.infoHash, imports })
      node.step({ kind: 'peers-found', infoHash: layer.infoHash, peers })
    }
    this.#tellReaders(puller)
  }

  #tellReaders(puller: Puller): void {
    for (const { layer, pieceIndex } of puller.reader!.open())
      puller.node.step({
        kind: 'readers-moved',
        infoHash: this.#layers[layer]!.infoHash,
        pieceIndexes: [pieceIndex],
      })
  }

  #bytesCame(node: SimNode, layer: Layer, bytes: number, from: SimNode): void {
    this.#measure.received(from === this.#seeder ? 'seeder' : 'peer', bytes)
    const ladder = this.#byPeerId.get(node.init.address.peerId)?.ladders[this.#layerOf.get(layer.infoHash)!]
    if (ladder === undefined) return
    ladder.peerBytesAtMs = this.#queue.nowMs
    ladder.anyBytesAtMs = this.#queue.nowMs
  }

  #pieceCame(node: SimNode, layer: Layer, index: number): void {
    const puller = this.#byPeerId.get(node.init.address.peerId)
    const reader = puller?.reader
    if (puller === undefined || reader === undefined) return
    const position = this.#layerOf.get(layer.infoHash)!
    const hasMoved = reader.pieceCame(position, index)
    if (layer.have.isFull) this.#announceComplete(puller, layer.infoHash)
    if (reader.isDone) this.#finished(puller)
    else if (hasMoved) this.#tellReaders(puller)
    this.#maySeederDie()
  }

  #announceComplete(puller: Puller, infoHash: InfoHash): void {
    const { node } = puller
    this.#queue.after(GATHER_MS + this.#scenario.latencyMs, {
      run: () => {
        if (node.isDead) return
        const { peerId } = node.init.address
        this.#track({ kind: 'announced', peerId, swarms: [{ infoHash, state: 'seeding' }] })
      },
    })
  }

  #finished(puller: Puller): void {
    puller.isDone = true
    this.#done++
    this.#measure.finished(this.#queue.nowMs - puller.startedAtMs!)
    this.#leaveWave()
  }

  #maySeederDie(): void {
    const { seederDiesAt, nodes } = this.#scenario
    if (seederDiesAt === undefined || this.#seeder.isDead) return
    if (this.#measure.receivedBytes < seederDiesAt * nodes * imageBytes(this.#scenario)) return
    this.#seeder.die(true)
  }

  // The tracker

  #track(event: Parameters<TrackerTable['step']>[1], answering?: PeerId): void {
    if (this.#seeder?.isDead) return
    for (const effect of this.#table.step(Math.floor(this.#queue.nowMs), event)) {
      if (effect.kind !== 'send-peers' && effect.kind !== 'set-imports') continue
      if (effect.to === answering) continue
      const { to, infoHash } = effect
      const event: NodeEvent =
        effect.kind === 'send-peers'
          ? { kind: 'peers-found', infoHash, peers: effect.peers }
          : { kind: 'imports-set', infoHash, imports: effect.imports }
      this.#queue.after(this.#scenario.latencyMs, {
        run: () => this.#byPeerId.get(to)?.node.step(event),
      })
    }
  }

  // The ladder of sources, as the agent's downloads climb it

  #watch(puller: Puller, position: number): void {
    const { nowMs } = this.#queue
    puller.ladders[position] = {
      startedAtMs: nowMs,
      chance: 1 - this.#prng.next(),
      peerBytesAtMs: nowMs,
      anyBytesAtMs: nowMs,
      seeder: HEALTHY,
      origin: HEALTHY,
    }
    this.#climb(puller, position)
  }

  #climb(puller: Puller, position: number): void {
    const { node } = puller
    const layer = node.layers.get(this.#layers[position]!.infoHash)!
    const ladder = puller.ladders[position]!
    if (node.isDead || layer.have.isFull) return
    const { nowMs } = this.#queue
    const step = nextStep(nowMs, { ...ladder, peersConnected: node.connectionCount })
    if (step.kind === 'give-up') return
    if (step.kind === 'wait') {
      this.#queue.at(Math.max(nowMs + 1, step.untilMs), { run: () => this.#climb(puller, position) })
      return
    }
    if (step.from === 'seeder' && this.#seeder.isDead) {
      // Refused at once.
      ladder.seeder = afterFailure(ladder.seeder, nowMs)
      this.#queue.after(2 * this.#scenario.latencyMs, { run: () => this.#climb(puller, position) })
      return
    }
    this.#fetchRun(puller, position, step.from)
  }

  /** The piece that is wanted most, and the missing ones behind it, by one request. */
  #fetchRun(puller: Puller, position: number, from: 'seeder' | 'origin'): void {
    const { node } = puller
    const layer = node.layers.get(this.#layers[position]!.infoHash)!
    const ladder = puller.ladders[position]!
    const { have, shape, infoHash } = layer
    const [first] = pickPieces(
      {
        have,
        isRequested: () => false,
        isOffered: () => true,
        availability: () => 0,
        readerPositions: puller.reader!.open().flatMap((at) => (at.layer === position ? at.pieceIndex : [])),
      },
      1,
      this.#prng,
    )
    assert(first !== undefined, 'a layer that is not complete misses a piece')
    const indexes = [first]
    for (let index = first + 1; index < have.length && !have.has(index); index++) {
      if ((indexes.length + 1) * shape.pieceLength > RUN_BYTES_MAX) break
      indexes.push(index)
    }
    const host = from === 'seeder' ? this.#seeder.init.host : this.#originHost
    const pipe: Pipe<never, number> = this.#network.pipe(host, node.init.host, {
      onMessage: () => {},
      onBlockSent: () => {},
      onBlockArrived: (index) => {
        if (node.isDead) return
        const bytes = pieceBytes(shape, index)
        ladder.anyBytesAtMs = this.#queue.nowMs
        this.#measure.received(from, bytes)
        if (!have.has(index)) node.step({ kind: 'piece-added', infoHash, index })
        if (index === indexes.at(-1)) this.#climb(puller, position)
      },
    })
    const bytes = indexes.reduce((sum, index) => sum + pieceBytes(shape, index), 0)
    if (from === 'origin') {
      this.#measure.originRequests++
      this.#measure.originBytes += bytes
    }
    const waitMs = this.#network.latencyMs(node.init.host, host) + this.#scenario.originLatencyMs
    this.#queue.after(waitMs, {
      run: () => {
        for (const index of indexes) pipe.sendBlock(index, pieceBytes(shape, index))
      },
    })
  }

  // Checks

  #stepped(node: SimNode): void {
    if (this.#steps++ % this.#checkEvery === 0) node.init.engine.check()
  }

  #checkAtTheEnd(): void {
    for (const { node } of this.#pullers) if (!node.isDead) node.init.engine.check()
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
