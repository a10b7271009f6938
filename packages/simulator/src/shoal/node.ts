/**
 * One machine of the simulated cluster: the engine that agents run, and what performs its effects on the model of the
 * network. Decides nothing. Every effect is checked, and faults are options of the machine: it lies, it is a black hole, it
 * dies. Pure.
 */
import { assert, type Bitfield, type InfoHash, type PeerAddress, type PeerId, pieceBytes } from '@shoal/core'
import {
  type BlobShape,
  type ConnectionId,
  EffectsChecker,
  type FetchId,
  type NodeEffect,
  type NodeEngine,
  type NodeEvent,
} from '@shoal/engine'
import { type Block, isSameBlock, type PeerMessage } from '@shoal/wire'
import type { Host, Network, Pipe, PipeHandler } from '../network.ts'
import type { Watch } from '../simulation.ts'
import type { Task } from '../time-queue.ts'

/** SHA-256 on one core (docs/fan-out.md, "The model"). */
const HASH_BYTES_PER_MS = 1.7e6
const DIAL_TIMEOUT_MS = 3_000

export interface NodeInit {
  readonly address: PeerAddress
  readonly host: Host
  readonly engine: NodeEngine
  readonly diskBytesPerMs: number
  /** Accepts, answers handshakes, says what it has, and never sends a block. */
  readonly isBlackHole: boolean
  /** Every block that it sends is wrong. */
  readonly isLiar?: boolean
}

export interface NodeParts {
  readonly network: Network
  /** Who listens at an address. */
  readonly find: (address: PeerAddress) => SimNode | undefined
  readonly nextConnection: () => ConnectionId
  /** Runs at once, or when a seeder that has no copy yet has read the piece from its origin. */
  readonly whenReadable: (node: SimNode, layer: Layer, index: number, run: () => void) => void
  readonly watch?: Watch | undefined
  /** After every step; sees to the checks. */
  readonly stepped: (node: SimNode) => void
  readonly onPiece: (node: SimNode, layer: Layer, index: number) => void
  readonly onBlock: (node: SimNode, layer: Layer, bytes: number, from: SimNode) => void
}

/** A layer at one node. */
export interface Layer {
  readonly infoHash: InfoHash
  readonly shape: BlobShape
  /** The truth about what is here. */
  readonly have: Bitfield
}

/** One end of a connection. */
class End implements PipeHandler<PeerMessage, Block> {
  readonly id: ConnectionId
  readonly node: SimNode
  readonly layer: Layer
  readonly outward: Pipe<PeerMessage, Block>
  other!: End
  isOpen = false
  /** What was asked for and has not come. */
  readonly awaited: { readonly fetch: FetchId; readonly block: Block }[] = []

  constructor(id: ConnectionId, node: SimNode, layer: Layer, to: Host, network: Network) {
    this.id = id
    this.node = node
    this.layer = layer
    this.outward = network.pipe(node.init.host, to, this)
  }

  onMessage(message: PeerMessage): void {
    this.other.node.hear(this.other, message)
  }

  onBlockSent(block: Block): void {
    this.node.step({ kind: 'block-sent', connection: this.id, block })
  }

  onBlockArrived(block: Block): void {
    this.other.node.take(this.other, block)
  }
}

export class SimNode {
  readonly init: NodeInit
  readonly #parts: NodeParts
  readonly layers = new Map<InfoHash, Layer>()
  readonly #ends = new Map<ConnectionId, End>()
  readonly #arrived = new Map<FetchId, number>()
  /** Fetches into whose buffers something wrong came, and who sent such things. */
  readonly #spoiled = new Set<FetchId>()
  readonly #liars = new Set<PeerId>()
  readonly #checker = new EffectsChecker()
  readonly #events: NodeEvent[] = []
  #isStepping = false
  #timerAtMs = Number.POSITIVE_INFINITY
  #hashFreeAtMs = 0
  #diskFreeAtMs = 0
  stepCount = 0
  badPieces = 0
  isDead = false

  constructor(parts: NodeParts, init: NodeInit) {
    this.#parts = parts
    this.init = init
  }

  /** Peers of the layer's swarm whose connection stands. */
  peersConnected(infoHash: InfoHash): number {
    let count = 0
    for (const { layer } of this.#ends.values()) if (layer.infoHash === infoHash) count++
    return count
  }

  /** @param isGrowing the node is a source that is still given its pieces, by `piece-added` */
  join(infoHash: InfoHash, shape: BlobShape, have: Bitfield, isGrowing = false): Layer {
    const layer = { infoHash, shape, have }
    this.layers.set(infoHash, layer)
    this.step({ kind: 'swarm-joined', infoHash, shape, have, isGrowing })
    return layer
  }

  /** The node stays and its other layers do; what was here of this one is kept by who joins again. */
  leave(infoHash: InfoHash): void {
    this.layers.delete(infoHash)
    this.step({ kind: 'swarm-left', infoHash })
  }

  /** Events that come up while effects are performed wait for their turn. */
  step(event: NodeEvent): void {
    if (this.isDead) return
    if (this.#isStepping) {
      this.#events.push(event)
      return
    }
    this.#isStepping = true
    const nowMs = Math.floor(this.#parts.network.queue.nowMs)
    for (let next: NodeEvent | undefined = event; next !== undefined; next = this.#events.shift()) {
      this.stepCount++
      const effects = this.init.engine.step(nowMs, next)
      this.#parts.watch?.({ nowMs, node: this.init.address.host, event: next, effects })
      this.#checker.check(next, effects)
      for (let i = 0; i < effects.length; i++) this.#perform(effects[i]!)
    }
    this.#isStepping = false
    this.#parts.stepped(this)
  }

  /** A message that has arrived. */
  hear(end: End, message: PeerMessage): void {
    if (!end.isOpen) return
    if (message.kind === 'reject') {
      const position = end.awaited.findIndex(({ block }) => isSameBlock(block, message))
      if (position >= 0) end.awaited.splice(position, 1)
    }
    this.step({ kind: 'message', connection: end.id, message })
  }

  /** A block that has arrived. */
  take(end: End, block: Block): void {
    if (!end.isOpen) return
    this.#parts.onBlock(this, end.layer, block.length, end.other.node)
    const position = end.awaited.findIndex((asked) => isSameBlock(asked.block, block))
    const [asked] = position >= 0 ? end.awaited.splice(position, 1) : []
    if (asked === undefined) {
      this.step({ kind: 'block-unasked', connection: end.id, block })
      return
    }
    this.#arrived.set(asked.fetch, this.#arrived.get(asked.fetch)! + block.length)
    const { isLiar, address } = end.other.node.init
    if (isLiar) {
      this.#spoiled.add(asked.fetch)
      this.#liars.add(address.peerId)
    }
    this.step({ kind: 'block-arrived', connection: end.id, fetch: asked.fetch, block })
  }

  /**
   * Gone from one moment to the next.
   * @param isHeard the kernel still closes its connections, as when a process is killed; else the machine is gone in silence
   */
  die(isHeard: boolean): void {
    this.isDead = true
    this.init.host.isDead = true
    for (const end of this.#ends.values()) {
      end.outward.close()
      end.other.outward.close()
      if (isHeard) this.#later(end.outward.latencyMs, () => end.other.node.#lost(end.other))
    }
  }

  #lost(end: End): void {
    if (!end.isOpen) return
    end.isOpen = false
    end.outward.close()
    this.#ends.delete(end.id)
    this.step({ kind: 'disconnected', connection: end.id })
  }

  #perform(effect: NodeEffect): void {
    const { network, onPiece } = this.#parts
    const { queue } = network
    switch (effect.kind) {
      case 'dial':
        this.#dial(effect.infoHash, effect.address)
        break
      case 'close':
        this.#close(effect.connection)
        break
      case 'send':
        this.#ends.get(effect.connection)?.outward.sendMessage(effect.message)
        break
      case 'request': {
        const end = this.#ends.get(effect.connection)
        if (end === undefined) break
        const { block, fetch } = effect
        end.awaited.push({ fetch, block })
        if (!this.#arrived.has(fetch)) this.#arrived.set(fetch, 0)
        end.outward.sendMessage({ kind: 'request', ...block })
        break
      }
      case 'cancel': {
        const end = this.#ends.get(effect.connection)
        if (end === undefined) break
        const { block } = effect
        const position = end.awaited.findIndex((asked) => isSameBlock(asked.block, block))
        if (position >= 0) end.awaited.splice(position, 1)
        end.outward.sendMessage({ kind: 'cancel', ...block })
        break
      }
      case 'send-block':
        this.#sendBlock(effect.connection, effect.block)
        break
      case 'verify': {
        const { infoHash, fetch, index } = effect
        const layer = this.#layer(infoHash)
        const bytes = pieceBytes(layer.shape, index)
        assert(this.#arrived.get(fetch) === bytes, 'a piece that is verified is whole')
        this.#hashFreeAtMs = Math.max(queue.nowMs, this.#hashFreeAtMs) + bytes / HASH_BYTES_PER_MS
        queue.at(this.#hashFreeAtMs, {
          run: () =>
            this.step({ kind: 'piece-verified', infoHash, fetch, isRight: !this.#spoiled.has(fetch) }),
        })
        break
      }
      case 'write': {
        const { infoHash, fetch, index } = effect
        assert(!this.#spoiled.has(fetch), 'only right pieces are written')
        const written = { kind: 'piece-written', infoHash, fetch } as const
        const { diskBytesPerMs } = this.init
        if (diskBytesPerMs === Number.POSITIVE_INFINITY) {
          this.step(written)
          break
        }
        const ms = pieceBytes(this.#layer(infoHash).shape, index) / diskBytesPerMs
        this.#diskFreeAtMs = Math.max(queue.nowMs, this.#diskFreeAtMs) + ms
        queue.at(this.#diskFreeAtMs, { run: () => this.step(written) })
        break
      }
      case 'release':
        this.#arrived.delete(effect.fetch)
        this.#spoiled.delete(effect.fetch)
        break
      case 'piece-here': {
        const layer = this.#layer(effect.infoHash)
        assert(layer.have.set(effect.index), 'a piece comes once')
        onPiece(this, layer, effect.index)
        break
      }
      case 'bad-piece':
        assert(this.#liars.has(effect.peerId), 'who is blamed has lied')
        this.badPieces++
        break
      case 'set-timer':
        this.#setTimer(effect.atMs)
        break
    }
  }

  #layer(infoHash: InfoHash): Layer {
    const layer = this.layers.get(infoHash)
    assert(layer !== undefined, 'an effect is for a swarm that was joined')
    return layer
  }

  #sendBlock(connection: ConnectionId, block: Block): void {
    const end = this.#ends.get(connection)
    if (end === undefined) return
    assert(end.layer.have.has(block.index), 'only verified pieces are served')
    if (this.init.isBlackHole) return
    this.#parts.whenReadable(this, end.layer, block.index, () => end.outward.sendBlock(block, block.length))
  }

  #setTimer(atMs: number): void {
    const { queue } = this.#parts.network
    this.#timerAtMs = atMs
    queue.at(Math.max(queue.nowMs, atMs), {
      run: () => {
        // Another one took its place.
        if (this.#timerAtMs !== atMs) return
        this.#timerAtMs = Number.POSITIVE_INFINITY
        this.step({ kind: 'timer' })
      },
    })
  }

  /** A round trip for the connection, another one for the handshakes. */
  #dial(infoHash: InfoHash, address: PeerAddress): void {
    const { network, find, nextConnection } = this.#parts
    const other = find(address)
    const failed = () => this.step({ kind: 'dial-failed', infoHash, address })
    if (other === undefined) {
      this.#later(DIAL_TIMEOUT_MS, failed)
      return
    }
    const latencyMs = network.latencyMs(this.init.host, other.init.host)
    this.#later(3 * latencyMs, () => {
      const theirLayer = other.layers.get(infoHash)
      const ourLayer = this.layers.get(infoHash)
      if (this.isDead || ourLayer === undefined) return
      if (other.isDead || theirLayer === undefined) {
        this.#later(other.isDead ? DIAL_TIMEOUT_MS : latencyMs, failed)
        return
      }
      const id = nextConnection()
      const ours = new End(id, this, ourLayer, other.init.host, network)
      const theirs = new End(id, other, theirLayer, this.init.host, network)
      ours.other = theirs
      theirs.other = ours
      // First, so that what the other says in its first breath finds this end open.
      this.#later(latencyMs, () => {
        if (theirs.isOpen) this.#open(ours, address)
        else failed()
      })
      other.#open(theirs, undefined)
    })
  }

  #open(end: End, dialled: PeerAddress | undefined): void {
    if (this.isDead) return
    end.isOpen = true
    this.#ends.set(end.id, end)
    this.step({
      kind: 'connected',
      connection: end.id,
      infoHash: end.layer.infoHash,
      peerId: end.other.node.init.address.peerId,
      ...(dialled !== undefined && { dialled }),
      hasFast: true,
      hasExtensions: true,
    })
  }

  #close(connection: ConnectionId): void {
    const end = this.#ends.get(connection)
    if (end === undefined) return
    end.isOpen = false
    end.outward.close()
    end.other.outward.close()
    this.#ends.delete(connection)
    this.#later(end.outward.latencyMs, () => end.other.node.#lost(end.other))
  }

  #later(ms: number, run: Task['run']): void {
    this.#parts.network.queue.after(ms, { run })
  }
}
