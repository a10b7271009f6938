/**
 * A swarm in memory on virtual time: engines, and a model of what moves bytes for them. Small on purpose: uplinks that send
 * one block after the other, one latency for all, and the faults that tests ask for. After every step it checks every promise.
 */
import { assert, Bitfield, createPrng, type PeerAddress, pieceBytes, pieceCount } from '@shoal/core'
import type { Block, PeerMessage } from '@shoal/wire'
import { NodeEngine } from '../node/node-engine.ts'
import type { BlobShape, FetchId, NodeEffect, NodeEvent, NodeLimits } from '../node/protocol.ts'

export const INFO_HASH = 'ab'.repeat(20)

export interface NodeInit {
  readonly name: string
  /** `growing`: a source that is given its pieces from outside, by `grow`. */
  readonly have: 'all' | 'none' | 'growing'
  /** Uplink. */
  readonly bytesPerMs?: number
  /** Accepts and answers handshakes, and never sends a block. */
  readonly isBlackHole?: boolean
  /** Every block that it sends is wrong. */
  readonly isLiar?: boolean
  readonly isSource?: boolean
  readonly zone?: string
  readonly limits?: Partial<NodeLimits>
}

export interface VirtualNode {
  readonly name: string
  readonly address: PeerAddress
  readonly engine: NodeEngine
  /** The truth about what it has. */
  readonly have: Bitfield
  completeAtMs: number | undefined
  sentBytes: number
  receivedBytes: number
  badPieces: number
  isDead: boolean
}

interface Node extends VirtualNode {
  readonly init: NodeInit
  uplinkFreeAtMs: number
  timerAtMs: number
  /** Requests under way: the connection's and the block's, and the fetch that waits for it. */
  readonly awaited: Map<string, FetchId>
  readonly fetches: Map<FetchId, { arrivedBytes: number; isSpoiled: boolean }>
}

interface Connection {
  readonly id: number
  readonly ends: readonly [Node, Node]
  isOpen: boolean
}

export class VirtualSwarm {
  readonly #shape: BlobShape
  readonly #latencyMs: number
  readonly #nodes = new Map<string, Node>()
  readonly #connections = new Map<number, Connection>()
  readonly #queue: { atMs: number; order: number; run: () => void }[] = []
  #nowMs = 0
  #order = 0
  #steps = 0
  #nextConnection = 1

  constructor(init: { shape: BlobShape; latencyMs: number }) {
    this.#shape = init.shape
    this.#latencyMs = init.latencyMs
  }

  get nowMs(): number {
    return this.#nowMs
  }

  get steps(): number {
    return this.#steps
  }

  add(init: NodeInit): VirtualNode {
    const number = this.#nodes.size + 1
    const peerId = number.toString(16).padStart(40, '0')
    const count = pieceCount(this.#shape)
    const node: Node = {
      name: init.name,
      init,
      address: { peerId, host: init.name, port: 1, role: 'agent' },
      engine: new NodeEngine({
        peerId,
        prng: createPrng(number),
        isSource: init.isSource ?? init.have === 'growing',
        ...(init.zone !== undefined && { zone: init.zone }),
        ...(init.limits && { limits: init.limits }),
      }),
      have: init.have === 'all' ? Bitfield.full(count) : new Bitfield(count),
      completeAtMs: init.have === 'all' ? 0 : undefined,
      sentBytes: 0,
      receivedBytes: 0,
      badPieces: 0,
      isDead: false,
      uplinkFreeAtMs: 0,
      timerAtMs: Number.POSITIVE_INFINITY,
      awaited: new Map(),
      fetches: new Map(),
    }
    this.#nodes.set(init.name, node)
    const isGrowing = init.have === 'growing'
    this.#step(node, {
      kind: 'swarm-joined',
      infoHash: INFO_HASH,
      shape: this.#shape,
      have: node.have,
      isGrowing,
    })
    if (init.have === 'none') this.#step(node, { kind: 'download-wanted', infoHash: INFO_HASH })
    return node
  }

  tell(node: VirtualNode, event: NodeEvent): void {
    this.#step(node as Node, event)
  }

  /** Gives a growing source its pieces, in order, one every `everyMs`. */
  grow(node: VirtualNode, everyMs: number): void {
    for (let index = 0; index < node.have.length; index++) {
      const added = { kind: 'piece-added', infoHash: INFO_HASH, index } as const
      this.at(this.#nowMs + (index + 1) * everyMs, () => this.tell(node, added))
    }
  }

  introduce(node: VirtualNode, peers: readonly VirtualNode[]): void {
    this.tell(node, {
      kind: 'peers-found',
      infoHash: INFO_HASH,
      peers: peers.map(({ address }) => address),
    })
  }

  /** The node is gone from one moment to the next; the others hear of it a latency later. */
  crash(node: VirtualNode): void {
    node.isDead = true
    for (const connection of this.#connections.values())
      if (connection.ends.includes(node as Node)) this.#close(connection, node as Node)
  }

  at(ms: number, run: () => void): void {
    this.#queue.push({ atMs: ms, order: this.#order++, run })
    let child = this.#queue.length - 1
    while (child > 0) {
      const parent = (child - 1) >> 1
      if (!this.#isBefore(child, parent)) break
      this.#swap(child, parent)
      child = parent
    }
  }

  /** Runs until `isDone`, or nothing is left to happen, or virtual time runs out. @returns whether `isDone` */
  run(isDone: () => boolean, untilMs: number): boolean {
    while (!isDone()) {
      const next = this.#take()
      if (next === undefined || next.atMs > untilMs) return false
      this.#nowMs = next.atMs
      next.run()
    }
    return true
  }

  #step(node: Node, event: NodeEvent): void {
    if (node.isDead) return
    this.#steps++
    const effects = node.engine.step(this.#nowMs, event)
    node.engine.check()
    for (const effect of effects) this.#perform(node, effect)
  }

  #later(ms: number, run: () => void): void {
    this.at(this.#nowMs + ms, run)
  }

  #perform(node: Node, effect: NodeEffect): void {
    switch (effect.kind) {
      case 'dial':
        this.#later(2 * this.#latencyMs, () => this.#dial(node, effect.address))
        break
      case 'close': {
        const connection = this.#connections.get(effect.connection)
        if (connection !== undefined) this.#close(connection, node)
        break
      }
      case 'send':
        this.#deliver(node, effect.connection, effect.message)
        break
      case 'request':
        node.awaited.set(keyOf(effect.connection, effect.block), effect.fetch)
        if (!node.fetches.has(effect.fetch))
          node.fetches.set(effect.fetch, { arrivedBytes: 0, isSpoiled: false })
        this.#deliver(node, effect.connection, { kind: 'request', ...effect.block })
        break
      case 'cancel':
        node.awaited.delete(keyOf(effect.connection, effect.block))
        this.#deliver(node, effect.connection, { kind: 'cancel', ...effect.block })
        break
      case 'send-block':
        this.#sendBlock(node, effect)
        break
      case 'verify': {
        const { isSpoiled, arrivedBytes } = node.fetches.get(effect.fetch)!
        assert(arrivedBytes === pieceBytes(this.#shape, effect.index), 'a piece that is verified is whole')
        this.#later(1, () =>
          this.#step(node, {
            kind: 'piece-verified',
            infoHash: INFO_HASH,
            fetch: effect.fetch,
            isRight: !isSpoiled,
          }),
        )
        break
      }
      case 'write':
        assert(!node.fetches.get(effect.fetch)!.isSpoiled, 'only right pieces are written')
        this.#later(1, () =>
          this.#step(node, { kind: 'piece-written', infoHash: INFO_HASH, fetch: effect.fetch }),
        )
        break
      case 'release':
        assert(node.fetches.delete(effect.fetch) || true, 'a fetch that asked for nothing has no buffer')
        break
      case 'piece-here':
        assert(node.have.set(effect.index), 'a piece comes once')
        if (node.have.isFull) node.completeAtMs = this.#nowMs
        break
      case 'bad-piece':
        node.badPieces++
        break
      case 'set-timer':
        node.timerAtMs = effect.atMs
        this.at(Math.max(this.#nowMs, effect.atMs), () => {
          // A later timer replaced this one.
          if (node.timerAtMs !== effect.atMs) return
          node.timerAtMs = Number.POSITIVE_INFINITY
          this.#step(node, { kind: 'timer' })
        })
        break
    }
  }

  #dial(node: Node, address: PeerAddress): void {
    const other = this.#nodes.get(address.host)
    if (other === undefined || other.isDead || node.isDead) {
      this.#step(node, { kind: 'dial-failed', infoHash: INFO_HASH, address })
      return
    }
    const connection: Connection = { id: this.#nextConnection++, ends: [node, other], isOpen: true }
    this.#connections.set(connection.id, connection)
    const shared = {
      kind: 'connected',
      connection: connection.id,
      infoHash: INFO_HASH,
      hasFast: true,
      hasExtensions: true,
    } as const
    this.#step(node, { ...shared, peerId: other.address.peerId, dialled: address })
    this.#step(other, { ...shared, peerId: node.address.peerId })
  }

  #close(connection: Connection, by: Node): void {
    if (!connection.isOpen) return
    connection.isOpen = false
    const other = connection.ends.find((end) => end !== by)!
    this.#later(this.#latencyMs, () => {
      this.#step(other, { kind: 'disconnected', connection: connection.id })
      this.#connections.delete(connection.id)
    })
  }

  #deliver(from: Node, id: number, message: PeerMessage): void {
    const connection = this.#connections.get(id)
    if (connection === undefined || !connection.isOpen) return
    const to = connection.ends.find((end) => end !== from)!
    this.#later(this.#latencyMs, () => {
      if (!connection.isOpen) return
      if (message.kind === 'reject') to.awaited.delete(keyOf(id, message))
      this.#step(to, { kind: 'message', connection: id, message })
    })
  }

  #sendBlock(node: Node, { connection: id, block }: Extract<NodeEffect, { kind: 'send-block' }>): void {
    assert(node.have.has(block.index), 'only verified pieces are served')
    if (node.init.isBlackHole) return
    const connection = this.#connections.get(id)!
    const to = connection.ends.find((end) => end !== node)!
    const beginsAtMs = Math.max(this.#nowMs, node.uplinkFreeAtMs)
    node.uplinkFreeAtMs = beginsAtMs + block.length / (node.init.bytesPerMs ?? 1000)
    const sentAtMs = Math.ceil(node.uplinkFreeAtMs)
    this.at(sentAtMs, () => {
      node.sentBytes += block.length
      this.#step(node, { kind: 'block-sent', connection: id, block })
    })
    this.at(sentAtMs + this.#latencyMs, () => {
      if (!connection.isOpen) return
      to.receivedBytes += block.length
      const fetch = to.awaited.get(keyOf(id, block))
      if (fetch === undefined) {
        this.#step(to, { kind: 'block-unasked', connection: id, block })
        return
      }
      to.awaited.delete(keyOf(id, block))
      const buffer = to.fetches.get(fetch)!
      buffer.arrivedBytes += block.length
      if (node.init.isLiar) buffer.isSpoiled = true
      this.#step(to, { kind: 'block-arrived', connection: id, fetch, block })
    })
  }

  #take() {
    const first = this.#queue[0]
    const last = this.#queue.pop()
    if (first === undefined || last === undefined || first === last) return first
    this.#queue[0] = last
    for (let parent = 0; ; ) {
      const left = 2 * parent + 1
      if (left >= this.#queue.length) break
      const child = left + 1 < this.#queue.length && this.#isBefore(left + 1, left) ? left + 1 : left
      if (!this.#isBefore(child, parent)) break
      this.#swap(child, parent)
      parent = child
    }
    return first
  }

  #isBefore(a: number, b: number): boolean {
    const [one, other] = [this.#queue[a]!, this.#queue[b]!]
    return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order)
  }

  #swap(a: number, b: number): void {
    const one = this.#queue[a]!
    this.#queue[a] = this.#queue[b]!
    this.#queue[b] = one
  }
}

function keyOf(connection: number, { index, begin, length }: Block): string {
  return `${connection} ${index} ${begin} ${length}`
}
