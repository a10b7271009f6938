/**
 * The model of the network, written down in docs/fan-out.md, "The model". Pure.
 *
 * A host has an uplink and a downlink. Bytes travel in quanta: a quantum takes its time on the sender's uplink, then, where
 * it leaves a zone, on both zones' gates, then a latency, then its time on the receiver's downlink. A host's uplink goes
 * round its transfers quantum by quantum; a downlink takes what comes in the order in which it comes. A transfer may have a
 * window of quanta on the way, so that many to one share its downlink evenly, and what one transfer cannot use another gets.
 *
 * A pipe is one direction of a connection: what goes into it comes out in the same order, so a message behind a block waits
 * for it. Messages are short: they take no time on the links, but what they take of them is added to the next quantum.
 */
import { assert } from '@shoal/core'
import type { TimeQueue } from './time-queue.ts'

/** What a short message takes of a link: itself, and the headers of its packet and of its acknowledgement. */
const MESSAGE_BYTES = 160
/** A quantum is what a link carries in so long, within these bounds. */
const QUANTUM_MS = 0.2
const QUANTUM_BYTES_MIN = 16 * 1024
const QUANTUM_BYTES_MAX = 256 * 1024
/** Round trips in which a new connection's window opens (TCP's slow start, from 10 segments to a quarter MiB). */
const SLOW_START_ROUNDS = 4

export interface HostInit {
  readonly upBytesPerMs: number
  readonly downBytesPerMs: number
  readonly zone: number
}

export interface NetworkInit {
  readonly latencyMs: number
  readonly crossLatencyMs: number
  readonly zoneCount: number
  /** Of each zone, in and out; Infinity where it is no concern. */
  readonly crossBytesPerMs: number
  /** Of most hosts: sets the quantum. */
  readonly linkBytesPerMs: number
}

export class Host {
  readonly zone: number
  readonly upBytesPerMs: number
  readonly downBytesPerMs: number
  isDead = false
  /** Payload that has left, whether it arrives or not. */
  sentBytes = 0
  receivedBytes = 0
  /** Pipes whose next quantum may leave, in the order of their turns. */
  readonly turns: Pipe<unknown, unknown>[] = []
  isSending = false
  downFreeAtMs = 0
  upDebtBytes = 0
  downDebtBytes = 0

  constructor(init: HostInit) {
    this.zone = init.zone
    this.upBytesPerMs = init.upBytesPerMs
    this.downBytesPerMs = init.downBytesPerMs
  }
}

export interface PipeHandler<M, B> {
  onMessage(message: M): void
  /** The last byte of the block has left. */
  onBlockSent(block: B): void
  onBlockArrived(block: B): void
}

export class Network {
  readonly queue: TimeQueue
  readonly quantumBytes: number
  readonly #init: NetworkInit
  readonly #gateOutFreeAtMs: Float64Array
  readonly #gateInFreeAtMs: Float64Array
  /** Payload that came into each zone from outside. */
  readonly crossZoneBytes: number[]
  /** Payload that is between an uplink and a downlink. */
  travellingBytes = 0
  /** Payload that nobody was there to receive. */
  lostBytes = 0

  constructor(queue: TimeQueue, init: NetworkInit) {
    this.queue = queue
    this.#init = init
    const bytes = init.linkBytesPerMs * QUANTUM_MS
    this.quantumBytes = Math.round(Math.min(QUANTUM_BYTES_MAX, Math.max(QUANTUM_BYTES_MIN, bytes)))
    this.#gateOutFreeAtMs = new Float64Array(init.zoneCount)
    this.#gateInFreeAtMs = new Float64Array(init.zoneCount)
    this.crossZoneBytes = new Array(init.zoneCount).fill(0)
  }

  latencyMs(from: Host, to: Host): number {
    return from.zone === to.zone ? this.#init.latencyMs : this.#init.crossLatencyMs
  }

  pipe<M, B>(from: Host, to: Host, handler: PipeHandler<M, B>): Pipe<M, B> {
    return new Pipe(this, from, to, this.latencyMs(from, to), handler)
  }

  /** The uplink is free or somebody has come to want it. */
  serve(host: Host): void {
    if (host.isSending || host.isDead) return
    const pipe = host.turns.shift()
    if (pipe === undefined) return
    const quantum = pipe.takeQuantum()
    host.isSending = true
    const ms = (quantum.bytes + host.upDebtBytes) / host.upBytesPerMs
    host.upDebtBytes = 0
    this.queue.at(this.queue.nowMs + ms, quantum)
  }

  /** When a quantum that has left the uplink just now reaches the receiver's downlink. */
  arrivalMs(from: Host, to: Host, bytes: number): number {
    const { nowMs } = this.queue
    if (from.zone === to.zone) return nowMs + this.#init.latencyMs
    const { crossBytesPerMs, crossLatencyMs } = this.#init
    const ms = bytes / crossBytesPerMs
    const outMs = Math.max(nowMs, this.#gateOutFreeAtMs[from.zone]!) + ms
    this.#gateOutFreeAtMs[from.zone] = outMs
    const inMs = ms === 0 ? outMs : Math.max(outMs - ms, this.#gateInFreeAtMs[to.zone]!) + ms
    this.#gateInFreeAtMs[to.zone] = inMs
    this.crossZoneBytes[to.zone]! += bytes
    return inMs + crossLatencyMs
  }

  /** Quanta that one transfer may have on the way: what keeps an otherwise idle path busy, and one more. */
  windowQuanta(from: Host, to: Host, latencyMs: number): number {
    const rate = Math.min(from.upBytesPerMs, to.downBytesPerMs)
    return 4 + Math.ceil((2 * latencyMs * rate) / this.quantumBytes)
  }
}

/** The block at the head, and how much of it has left and arrived. */
interface Sending<B> {
  readonly block: B
  leftBytes: number
}

/** A quantum on its way: on the uplink, then under way, then on the downlink. */
class Quantum<M, B> {
  #stage: 'uplink' | 'under-way' | 'downlink' = 'uplink'
  readonly #pipe: Pipe<M, B>
  readonly bytes: number
  /** The block that ends with it. */
  readonly #ends: B | undefined

  constructor(pipe: Pipe<M, B>, bytes: number, ends: B | undefined) {
    this.#pipe = pipe
    this.bytes = bytes
    this.#ends = ends
  }

  run(): void {
    const pipe = this.#pipe
    const { network, from, to } = pipe
    const { queue } = network
    switch (this.#stage) {
      case 'uplink': {
        from.isSending = false
        if (from.isDead) return
        from.sentBytes += this.bytes
        network.travellingBytes += this.bytes
        this.#leaves()
        pipe.quantumLeft(this.#ends)
        network.serve(from)
        break
      }
      case 'under-way':
        this.#enterDownlink(queue.nowMs)
        break
      case 'downlink':
        network.travellingBytes -= this.bytes
        pipe.acknowledged()
        if (to.isDead || pipe.isClosed) {
          network.lostBytes += this.bytes
          return
        }
        to.receivedBytes += this.bytes
        if (this.#ends !== undefined) pipe.handler.onBlockArrived(this.#ends)
        break
    }
  }

  #leaves(): void {
    const { network, from, to, latencyMs } = this.#pipe
    const { nowMs } = network.queue
    const slowStartMs = this.#pipe.takeSlowStartMs()
    if (from.zone === to.zone && slowStartMs === 0) {
      // With one latency for all, quanta arrive in the order in which they left.
      this.#enterDownlink(nowMs + latencyMs)
      return
    }
    this.#stage = 'under-way'
    network.queue.at(network.arrivalMs(from, to, this.bytes) + slowStartMs, this)
  }

  #enterDownlink(arrivesAtMs: number): void {
    const { network, to } = this.#pipe
    this.#stage = 'downlink'
    const ms = (this.bytes + to.downDebtBytes) / to.downBytesPerMs
    to.downDebtBytes = 0
    to.downFreeAtMs = Math.max(arrivesAtMs, to.downFreeAtMs) + ms
    network.queue.at(to.downFreeAtMs, this)
  }
}

export class Pipe<M, B> {
  readonly network: Network
  readonly from: Host
  readonly to: Host
  readonly latencyMs: number
  readonly handler: PipeHandler<M, B>
  isClosed = false
  readonly #windowQuanta: number
  #underWay = 0
  #isFirst = true
  #hasTurn = false
  #breath: M[] | undefined
  #breathAtMs = 0
  /** Blocks that wait or leave, oldest first; and behind which of them each message waits. */
  readonly #blocks: Sending<B>[] = []
  readonly #messages: { readonly message: M; behind: number }[] = []

  constructor(network: Network, from: Host, to: Host, latencyMs: number, handler: PipeHandler<M, B>) {
    this.network = network
    this.from = from
    this.to = to
    this.latencyMs = latencyMs
    this.handler = handler
    this.#windowQuanta = network.windowQuanta(from, to, latencyMs)
  }

  sendMessage(message: M): void {
    if (this.isClosed) return
    this.from.upDebtBytes += MESSAGE_BYTES
    if (this.#blocks.length > 0) this.#messages.push({ message, behind: this.#blocks.length })
    else this.#deliver(message)
  }

  sendBlock(block: B, bytes: number): void {
    assert(bytes > 0, 'a block has bytes')
    if (this.isClosed) return
    this.#blocks.push({ block, leftBytes: bytes })
    this.#takeTurn()
  }

  /** Nothing goes in any more, and what is under way does not come out. */
  close(): void {
    this.isClosed = true
    this.#blocks.length = 0
    this.#messages.length = 0
    if (!this.#hasTurn) return
    const turns = this.from.turns as Pipe<unknown, unknown>[]
    const position = turns.indexOf(this as unknown as Pipe<unknown, unknown>)
    if (position >= 0) turns.splice(position, 1)
  }

  takeQuantum(): Quantum<M, B> {
    this.#hasTurn = false
    const [sending] = this.#blocks
    assert(sending !== undefined && sending.leftBytes > 0, 'whose turn it is has something to send')
    const bytes = Math.min(this.network.quantumBytes, sending.leftBytes)
    sending.leftBytes -= bytes
    this.#underWay++
    return new Quantum(this, bytes, sending.leftBytes === 0 ? sending.block : undefined)
  }

  quantumLeft(ended: B | undefined): void {
    if (this.isClosed) return
    if (ended !== undefined) {
      this.#blocks.shift()
      for (const waiting of this.#messages) waiting.behind--
      while (this.#messages[0]?.behind === 0) this.#deliver(this.#messages.shift()!.message)
      this.handler.onBlockSent(ended)
    }
    this.#takeTurn()
  }

  acknowledged(): void {
    this.#underWay--
    this.#takeTurn()
  }

  takeSlowStartMs(): number {
    if (!this.#isFirst) return 0
    this.#isFirst = false
    return SLOW_START_ROUNDS * 2 * this.latencyMs
  }

  #takeTurn(): void {
    const [sending] = this.#blocks
    if (this.#hasTurn || this.isClosed || sending === undefined) return
    if (sending.leftBytes === 0 || this.#underWay >= this.#windowQuanta) return
    this.#hasTurn = true
    this.from.turns.push(this as unknown as Pipe<unknown, unknown>)
    this.network.serve(this.from)
  }

  #deliver(message: M): void {
    this.to.downDebtBytes += MESSAGE_BYTES
    const { queue } = this.network
    // What is said in one breath arrives as one event.
    if (this.#breath !== undefined && this.#breathAtMs === queue.nowMs) {
      this.#breath.push(message)
      return
    }
    const messages = [message]
    this.#breath = messages
    this.#breathAtMs = queue.nowMs
    queue.after(this.latencyMs, {
      run: () => {
        if (this.#breath === messages) this.#breath = undefined
        for (const one of messages) if (!this.isClosed && !this.to.isDead) this.handler.onMessage(one)
      },
    })
  }
}
