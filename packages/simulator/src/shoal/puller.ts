/**
 * One agent that pulls the image: performs what the engine's `Pull` decides for each layer, and its `Announcements` for all of
 * them, on the model of the network. Decides nothing. Pure.
 */
import { assert, Bitfield, type InfoHash, type Prng, pieceBytes, pieceCount } from '@shoal/core'
import {
  type AnnouncementEvent,
  Announcements,
  type BlobShape,
  EarlyNews,
  type HttpSource,
  Pull,
  type PullEffect,
  type PullEvent,
  type SwarmNews,
  type TrackerEvent,
} from '@shoal/engine'
import { INLINE_BLOB_BYTES_MAX } from '@shoal/wire'
import type { Measure } from '../measure.ts'
import type { Host, Network, Pipe } from '../network.ts'
import type { NodePlan } from '../plan.ts'
import { Reader } from '../reader.ts'
import type { Layer, SimNode } from './node.ts'

export interface PullerParts {
  readonly network: Network
  readonly measure: Measure
  readonly prng: Prng
  readonly seeder: SimNode
  readonly originHost: Host
  /** The layers of the image, in order. */
  readonly layers: readonly { readonly infoHash: InfoHash; readonly shape: BlobShape }[]
  /** What is said of each layer's swarm to an agent that asks for the image. */
  readonly answer: (puller: Puller) => readonly SwarmNews[]
  /** The tracker hears it. */
  readonly track: (event: TrackerEvent) => void
  readonly onDone: (puller: Puller) => void
}

export interface PullerInit {
  readonly plan: NodePlan
  readonly node: SimNode
  /** To the tracker, one way. */
  readonly latencyMs: number
  /** Until the first byte of what is asked for over HTTP, beside the way. */
  readonly originLatencyMs: number
  readonly layersAtATime: number
}

/** One layer on its way. */
interface LayerPull {
  /** In the image. */
  readonly position: number
  readonly layer: Layer
  readonly pull: Pull
  timerAtMs: number
  /** A request over HTTP that is under way. */
  pipe: Pipe<never, number> | undefined
}

export class Puller {
  readonly plan: NodePlan
  readonly node: SimNode
  readonly #parts: PullerParts
  readonly #init: PullerInit
  readonly #pulls = new Map<InfoHash, LayerPull>()
  readonly #earlyNews = new EarlyNews()
  readonly #announcements = new Announcements()
  #reader: Reader | undefined
  #startedAtMs: number | undefined
  #isDone = false

  constructor(parts: PullerParts, init: PullerInit) {
    this.#parts = parts
    this.#init = init
    this.plan = init.plan
    this.node = init.node
    // Its stream was open before anybody pulled.
    this.#announce({ kind: 'stream-opened' })
  }

  /** When it asked for the image. */
  get startedAtMs(): number | undefined {
    return this.#startedAtMs
  }

  get isDone(): boolean {
    return this.#isDone
  }

  /** One question, answered with the metainfo of all layers and neighbours in their swarms. */
  start(): void {
    const { network, seeder, answer } = this.#parts
    const { node } = this
    if (node.isDead) return
    this.#startedAtMs = network.queue.nowMs
    const latencyMs = network.latencyMs(node.init.host, seeder.init.host)
    network.queue.after(latencyMs, {
      run: () => {
        const answers = answer(this)
        network.queue.after(latencyMs, { run: () => this.#joinSwarms(answers) })
      },
    })
  }

  /** What the tracker says on its stream. */
  hear(infoHash: InfoHash, news: Partial<SwarmNews>): void {
    const { peers, imports } = news
    const pull = this.#pulls.get(infoHash)
    if (peers !== undefined) {
      if (pull === undefined) this.#earlyNews.peers(infoHash, peers)
      else this.#step(pull, { kind: 'peers-heard', peers })
    }
    if (imports !== undefined) {
      if (pull === undefined) this.#earlyNews.imports(infoHash, imports)
      else this.#step(pull, { kind: 'imports-heard', imports })
    }
  }

  /** Bytes of a block came from a peer. */
  bytesCame(infoHash: InfoHash): void {
    const pull = this.#pulls.get(infoHash)
    if (pull !== undefined) this.#step(pull, RECEIVED_FROM_PEER)
  }

  pieceCame({ infoHash, have }: Layer, index: number): void {
    const pull = this.#pulls.get(infoHash)
    if (pull === undefined || this.#reader === undefined) return
    const hasMoved = this.#reader.pieceCame(pull.position, index)
    if (have.isFull) this.#step(pull, { kind: 'completed' })
    if (this.#reader.isDone) {
      this.#isDone = true
      this.#parts.onDone(this)
    } else if (hasMoved) this.#tellReaders()
  }

  /** What must hold between any two steps. */
  check(): void {
    for (const { pull } of this.#pulls.values()) pull.check()
  }

  #joinSwarms(answers: readonly SwarmNews[]): void {
    const { layers } = this.#parts
    if (this.node.isDead) return
    for (const [position, { infoHash, shape }] of layers.entries()) this.#join(position, infoHash, shape)
    const haves = [...this.#pulls.values()].map(({ layer }) => layer.have)
    this.#reader = new Reader(haves, this.#init.layersAtATime)
    for (const [position, { infoHash, shape }] of layers.entries()) {
      const { peers, imports } = answers[position]!
      const hasInline = shape.length <= INLINE_BLOB_BYTES_MAX
      this.#step(this.#pulls.get(infoHash)!, { kind: 'wanted', peers, imports, hasOrigin: true, hasInline })
    }
    this.#tellReaders()
  }

  #join(position: number, infoHash: InfoHash, shape: BlobShape): void {
    const { node } = this
    const layer = node.join(infoHash, shape, new Bitfield(pieceCount(shape)))
    const pull = new Pull({
      peerId: node.init.address.peerId,
      shape,
      prng: this.#parts.prng,
      view: {
        have: layer.have,
        readerPositions: () =>
          this.#reader!.open().flatMap((at) => (at.layer === position ? at.pieceIndex : [])),
        peersConnected: () => node.peersConnected(infoHash),
      },
    })
    const layerPull: LayerPull = {
      position,
      layer,
      pull,
      timerAtMs: Number.POSITIVE_INFINITY,
      pipe: undefined,
    }
    this.#pulls.set(infoHash, layerPull)
    this.#step(layerPull, { kind: 'joined', isComplete: false, news: this.#earlyNews.take(infoHash) })
  }

  #tellReaders(): void {
    const { layers } = this.#parts
    for (const { layer, pieceIndex } of this.#reader!.open())
      this.node.step({
        kind: 'readers-moved',
        infoHash: layers[layer]!.infoHash,
        pieceIndexes: [pieceIndex],
      })
  }

  #step(layerPull: LayerPull, event: PullEvent): void {
    if (this.node.isDead) return
    const effects = layerPull.pull.step(this.#parts.network.queue.nowMs, event)
    for (const effect of effects) this.#perform(layerPull, effect)
  }

  #perform(layerPull: LayerPull, effect: PullEffect): void {
    const { node } = this
    const { infoHash } = layerPull.layer
    switch (effect.kind) {
      case 'announce':
        this.#announce({ kind: 'announce', infoHash, state: effect.state })
        break
      case 'announce-left':
        this.#announce({ kind: 'leave', infoHash })
        break
      case 'download':
        node.step({ kind: 'download-wanted', infoHash })
        break
      case 'connect':
        node.step({ kind: 'peers-found', infoHash, peers: effect.peers })
        break
      case 'set-imports':
        node.step({ kind: 'imports-set', infoHash, imports: effect.imports })
        break
      case 'take-inline':
        this.#takeInline(layerPull)
        break
      case 'fetch':
        this.#fetch(layerPull, effect.from, effect.pieceIndexes)
        break
      case 'cancel-fetch':
        layerPull.pipe?.close()
        break
      case 'give-up':
        // It counts as unfinished.
        break
      case 'set-timer':
        this.#setTimer(layerPull, effect.atMs)
        break
    }
  }

  #setTimer(layerPull: LayerPull, atMs: number): void {
    const { queue } = this.#parts.network
    layerPull.timerAtMs = atMs
    queue.at(Math.max(queue.nowMs + 1, atMs), {
      run: () => {
        // Another one took its place.
        if (layerPull.timerAtMs === atMs) this.#step(layerPull, { kind: 'timer' })
      },
    })
  }

  #announce(event: AnnouncementEvent): void {
    const { network, track } = this.#parts
    const { queue } = network
    const { latencyMs } = this.#init
    const { node } = this
    if (node.isDead) return
    const { peerId } = node.init.address
    for (const effect of this.#announcements.step(queue.nowMs, event)) {
      if (effect.kind === 'set-timer') {
        queue.at(effect.atMs, { run: () => this.#announce({ kind: 'timer' }) })
        continue
      }
      const told: TrackerEvent =
        effect.kind === 'send-announce'
          ? { kind: 'announced', peerId, swarms: effect.swarms }
          : { kind: 'swarms-left', peerId, infoHashes: effect.infoHashes }
      queue.after(latencyMs, {
        run: () => {
          if (!node.isDead) track(told)
        },
      })
    }
  }

  /** It came with the answer, and is no more than one piece. */
  #takeInline(layerPull: LayerPull): void {
    const { infoHash, shape, have } = layerPull.layer
    assert(have.length === 1, 'what comes along with an answer is shorter than a piece')
    this.#parts.measure.received('seeder', shape.length)
    this.node.step({ kind: 'piece-added', infoHash, index: 0 })
    this.#step(layerPull, { kind: 'inline-ended' })
  }

  #fetch(layerPull: LayerPull, from: HttpSource, pieceIndexes: readonly number[]): void {
    const { network, measure, seeder, originHost } = this.#parts
    const { latencyMs, originLatencyMs } = this.#init
    const { node } = this
    const { infoHash, shape, have } = layerPull.layer
    if (from === 'seeder' && seeder.isDead) {
      // Refused after a round trip.
      network.queue.after(2 * latencyMs, {
        run: () => this.#step(layerPull, { kind: 'fetch-ended', isGood: false }),
      })
      return
    }
    const host = from === 'seeder' ? seeder.init.host : originHost
    const pipe: Pipe<never, number> = network.pipe(host, node.init.host, {
      onMessage: () => {},
      onBlockSent: () => {},
      onBlockArrived: (index) => {
        if (node.isDead) return
        measure.received(from, pieceBytes(shape, index))
        this.#step(layerPull, { kind: 'bytes-received', from })
        if (!have.has(index)) node.step({ kind: 'piece-added', infoHash, index })
        if (index === pieceIndexes.at(-1)) this.#step(layerPull, { kind: 'fetch-ended', isGood: true })
      },
    })
    layerPull.pipe = pipe
    if (from === 'origin') {
      measure.originRequests++
      measure.originBytes += pieceIndexes.reduce((sum, index) => sum + pieceBytes(shape, index), 0)
    }
    network.queue.after(network.latencyMs(node.init.host, host) + originLatencyMs, {
      run: () => {
        for (const index of pieceIndexes) pipe.sendBlock(index, pieceBytes(shape, index))
      },
    })
  }
}

/** One for all blocks: there are many. */
const RECEIVED_FROM_PEER = { kind: 'bytes-received', from: 'peer' } as const
