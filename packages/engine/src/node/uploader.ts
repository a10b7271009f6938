/** Takes requests, bounds them, and has them served in the order of `upload-queue.ts`. */

import { type Block, isSameBlock } from '@shoal/wire'
import { TokenBucket } from '../policy/token-bucket.ts'
import type { NodeState } from './node-state.ts'
import type { CloseReason } from './protocol.ts'
import type { Superseeder } from './superseeder.ts'
import type { Peer } from './swarm.ts'
import { isHeldUp, SLOW_SEND_MS, takeUpload } from './upload-queue.ts'

/** A source sends to so many times more peers at once: their links are busy passing its pieces on, so each takes it slowly. */
const SOURCE_SLOTS = 2

export class Uploader {
  readonly #state: NodeState
  readonly #superseeder: Superseeder
  readonly #isSource: boolean
  readonly #bucket: TokenBucket
  /** Peers with requests that wait or blocks that are being sent. */
  readonly #busy = new Set<Peer>()

  constructor(state: NodeState, superseeder: Superseeder, isSource: boolean) {
    this.#state = state
    this.#superseeder = superseeder
    this.#isSource = isSource
    this.#bucket = new TokenBucket(state.limits.uploadBytesPerSecond, 0)
  }

  /** @returns why the peer may not stay, if it may not */
  request(nowMs: number, peer: Peer, block: Block): CloseReason | undefined {
    const { swarm } = peer
    const isBlock =
      block.index < swarm.have.length &&
      block.length > 0 &&
      block.length <= peer.blockBytesMax &&
      block.begin + block.length <= swarm.pieceBytes(block.index)
    if (!isBlock) return 'bad-message'
    const isQueueFull = peer.queue.length >= this.#state.limits.queuedRequestsPerPeerMax
    if (!swarm.have.has(block.index) || (isQueueFull && peer.hasFast)) {
      this.#refuse(peer, block)
      return undefined
    }
    if (isQueueFull) return 'too-many-requests'
    peer.queue.push(block)
    this.#busy.add(peer)
    this.serve(nowMs)
    return undefined
  }

  cancel(peer: Peer, block: Block): void {
    const position = peer.queue.findIndex((queued) => isSameBlock(queued, block))
    if (position < 0) return
    peer.queue.splice(position, 1)
    // BEP 6: every request is answered, by its block or by a reject.
    this.#refuse(peer, block)
    this.#settle(peer)
  }

  sent(nowMs: number, peer: Peer, block: Block): void {
    const position = peer.sends.findIndex((send) => isSameBlock(send.block, block))
    const [send] = position >= 0 ? peer.sends.splice(position, 1) : []
    if (send !== undefined) {
      peer.isSlow = isHeldUp(nowMs, send)
      for (const { sends } of this.#busy)
        for (const other of sends) if (other.sinceMs < send.sinceMs) other.overtaken++
    }
    this.#settle(peer)
    this.serve(nowMs)
  }

  /** Whether it was overtaken or not: where all that is sent stands still, nobody overtakes. */
  stalled(nowMs: number, peer: Peer): void {
    if (peer.sends.length === 0) return
    peer.isSlow = true
    this.serve(nowMs)
  }

  forget(peer: Peer): void {
    this.#busy.delete(peer)
  }

  /** Has blocks sent as long as there are slots, requests, and room under the rate limit. */
  serve(nowMs: number): void {
    while (this.#busy.size > 0) {
      if (!this.#bucket.hasAny(nowMs)) {
        this.#state.wakeAt(this.#bucket.nextAtMs(nowMs))
        return
      }
      const next = takeUpload(nowMs, this.#busy, this.#slots)
      if (next === undefined) return
      this.#begin(nowMs, next.peer, next.block)
    }
  }

  get #slots(): number {
    const { uploadSlots } = this.#state.limits
    return this.#isSource ? uploadSlots * SOURCE_SLOTS : uploadSlots
  }

  #begin(nowMs: number, peer: Peer, block: Block): void {
    const { swarm } = peer
    this.#bucket.spend(block.length)
    if (block.begin === 0) {
      swarm.timesSent[block.index]!++
      this.#superseeder.sent(peer, block.index)
    }
    peer.lastPiece = block.index
    peer.lastServedAtMs = nowMs
    peer.sends.push({ block, sinceMs: nowMs, overtaken: 0 })
    this.#state.effect({
      kind: 'send-block',
      connection: peer.connection,
      infoHash: swarm.infoHash,
      block,
    })
    // A send that turns out slow frees its slot; nothing else would tell of it.
    this.#state.wakeAt(nowMs + SLOW_SEND_MS)
  }

  #refuse(peer: Peer, block: Block): void {
    if (peer.hasFast) this.#state.send(peer, { kind: 'reject', ...block })
  }

  #settle(peer: Peer): void {
    if (peer.queue.length === 0 && peer.sends.length === 0) this.#busy.delete(peer)
  }

  get busy(): ReadonlySet<Peer> {
    return this.#busy
  }
}
