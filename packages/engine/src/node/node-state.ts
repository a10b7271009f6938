/** What the parts of a node's engine share: its swarms, its connections, and the effects of the present step. */
import type { InfoHash, PeerId, Prng } from '@shoal/core'
import type { PeerMessage } from '@shoal/wire'
import type { CloseReason, ConnectionId, NodeEffect, NodeLimits } from './protocol.ts'
import type { NodeSwarm, Peer } from './swarm.ts'

export class NodeState {
  readonly swarms = new Map<InfoHash, NodeSwarm>()
  readonly peers = new Map<ConnectionId, Peer>()
  #effects: NodeEffect[] = []
  #timerAtMs = Number.POSITIVE_INFINITY

  readonly peerId: PeerId
  readonly limits: NodeLimits
  readonly prng: Prng

  constructor(peerId: PeerId, limits: NodeLimits, prng: Prng) {
    this.peerId = peerId
    this.limits = limits
    this.prng = prng
  }

  effect(effect: NodeEffect): void {
    this.#effects.push(effect)
  }

  send(peer: Peer, message: PeerMessage): void {
    this.#effects.push({ kind: 'send', connection: peer.connection, message })
  }

  close(peer: Peer, reason: CloseReason): void {
    this.#effects.push({ kind: 'close', connection: peer.connection, reason })
  }

  /** Work of a peer that is gone, such as a piece that is being verified, may outlive it. */
  isConnected(peer: Peer): boolean {
    return this.peers.get(peer.connection) === peer
  }

  takeEffects(): readonly NodeEffect[] {
    const effects = this.#effects
    if (effects.length === 0) return NO_EFFECTS
    this.#effects = []
    return effects
  }

  /** Sees to it that a `timer` comes at `atMs` at the latest. */
  wakeAt(atMs: number): void {
    if (atMs >= this.#timerAtMs) return
    this.#timerAtMs = atMs
    this.#effects.push({ kind: 'set-timer', atMs })
  }

  timerCame(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY
  }
}

const NO_EFFECTS: readonly NodeEffect[] = []
