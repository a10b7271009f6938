/**
 * One blob's swarm of simulated nodes, and nothing else: no tracker, no seeder, no clients. For tests of the node engine, which
 * say who knows whom and what goes wrong. Every node's state is checked after each of its steps.
 */
import { Bitfield, createPrng, type PeerAddress, pieceCount } from '@shoal/core'
import { type BlobShape, NodeEngine, type NodeEvent, type NodeLimits } from '@shoal/engine'
import { Host, Network } from '../network.ts'
import { SimNode } from '../shoal/node.ts'
import type { Watch } from '../simulation.ts'
import { TimeQueue } from '../time-queue.ts'

export const INFO_HASH = 'ab'.repeat(20)

const UPLINK_BYTES_PER_MS = 1_000
/** Quanta are as long as they may be: an uplink sends one block after the other, so that times are easily reckoned. */
const QUANTUM_LINK_BYTES_PER_MS = Number.POSITIVE_INFINITY

export interface MemberInit {
  readonly name: string
  /** `growing`: a source that is given its pieces from outside, by `grow`. */
  readonly have: 'all' | 'none' | 'growing'
  /** Uplink; downlinks are no concern here. */
  readonly bytesPerMs?: number
  readonly isBlackHole?: boolean
  readonly isLiar?: boolean
  readonly isSource?: boolean
  readonly zone?: string
  readonly limits?: Partial<NodeLimits>
}

export interface Member {
  readonly node: SimNode
  /** The truth about what it has. */
  readonly have: Bitfield
  completeAtMs: number | undefined
}

export class EngineSwarm {
  readonly #shape: BlobShape
  readonly #queue = new TimeQueue()
  readonly #network: Network
  readonly #members = new Map<string, Member>()
  /** To be set by who looks for what went wrong in a test. */
  watch: Watch | undefined
  #nextConnection = 1

  constructor(init: { shape: BlobShape; latencyMs: number }) {
    this.#shape = init.shape
    this.#network = new Network(this.#queue, {
      latencyMs: init.latencyMs,
      crossLatencyMs: init.latencyMs,
      zoneCount: 1,
      crossBytesPerMs: Number.POSITIVE_INFINITY,
      linkBytesPerMs: QUANTUM_LINK_BYTES_PER_MS,
    })
  }

  get nowMs(): number {
    return this.#queue.nowMs
  }

  get steps(): number {
    let steps = 0
    for (const { node } of this.#members.values()) steps += node.stepCount
    return steps
  }

  add(init: MemberInit): Member {
    const number = this.#members.size + 1
    const peerId = number.toString(16).padStart(40, '0')
    const address: PeerAddress = { peerId, host: init.name, port: 1, role: 'agent' }
    const count = pieceCount(this.#shape)
    const have = init.have === 'all' ? Bitfield.full(count) : new Bitfield(count)
    const engine = new NodeEngine({
      peerId,
      prng: createPrng(number),
      isSource: init.isSource ?? init.have === 'growing',
      ...(init.zone !== undefined && { zone: init.zone }),
      ...(init.limits && { limits: init.limits }),
    })
    const host = new Host({
      upBytesPerMs: init.bytesPerMs ?? UPLINK_BYTES_PER_MS,
      downBytesPerMs: Number.POSITIVE_INFINITY,
      zone: 0,
    })
    const node = new SimNode(
      {
        network: this.#network,
        find: ({ host: name }) => this.#members.get(name)?.node,
        nextConnection: () => this.#nextConnection++,
        watch: (step) => this.watch?.(step),
        whenReadable: (_node, _layer, _index, run) => run(),
        stepped: () => engine.check(),
        onPiece: () => {
          if (have.isFull) member.completeAtMs = this.nowMs
        },
        onBlock: () => {},
      },
      {
        address,
        host,
        engine,
        diskBytesPerMs: Number.POSITIVE_INFINITY,
        isBlackHole: init.isBlackHole ?? false,
        isLiar: init.isLiar ?? false,
      },
    )
    const member: Member = { node, have, completeAtMs: init.have === 'all' ? 0 : undefined }
    this.#members.set(init.name, member)
    node.join(INFO_HASH, this.#shape, have, init.have === 'growing')
    if (init.have === 'none') node.step({ kind: 'download-wanted', infoHash: INFO_HASH })
    return member
  }

  tell({ node }: Member, event: NodeEvent): void {
    node.step(event)
  }

  /** Gives a growing source its pieces, in order, one every `everyMs`. */
  grow(member: Member, everyMs: number): void {
    for (let index = 0; index < member.have.length; index++) {
      const added = { kind: 'piece-added', infoHash: INFO_HASH, index } as const
      this.at(this.nowMs + (index + 1) * everyMs, () => this.tell(member, added))
    }
  }

  introduce(member: Member, others: readonly Member[]): void {
    this.tell(member, {
      kind: 'peers-found',
      infoHash: INFO_HASH,
      peers: others.map(({ node }) => node.init.address),
    })
  }

  /** The member parts from all others, keeps what it has, and joins anew; whom it knows it has to be told again. */
  rejoin({ node, have }: Member): void {
    node.leave(INFO_HASH)
    node.join(INFO_HASH, this.#shape, have)
    node.step({ kind: 'download-wanted', infoHash: INFO_HASH })
  }

  /** The node is gone from one moment to the next; the others hear of it a latency later, or never. */
  crash({ node }: Member, isHeard = true): void {
    node.die(isHeard)
  }

  at(atMs: number, run: () => void): void {
    this.#queue.at(atMs, { run })
  }

  /** Runs until `isDone`, or nothing is left to happen, or virtual time runs out. @returns whether `isDone` */
  run(isDone: () => boolean, untilMs: number): boolean {
    while (!isDone()) if (!this.#queue.runOne(untilMs)) return false
    return true
  }
}
