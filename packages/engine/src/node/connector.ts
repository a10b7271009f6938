/** Whom to dial, whom to keep: one connection per peer, within the limits, and none with those that lied. */
import { addressKey, type PeerAddress, type PeerId } from '@shoal/core'
import { roomFor } from './connection-room.ts'
import type { NodeState } from './node-state.ts'
import type { CloseReason } from './protocol.ts'
import type { KnownAddress, NodeSwarm, Peer } from './swarm.ts'

/** Waits before an address is dialled again; after the last it is forgotten until it is told of anew. */
const RETRY_MS = [1_000, 5_000, 15_000]
/** Addresses of one swarm that are remembered. */
const ADDRESSES_MAX = 256
/** Peers that lied, remembered by the node; a new id costs them a new connection and one bad piece. */
const BANNED_MAX = 1_024

export class Connector {
  readonly #state: NodeState
  /** Of each swarm, addresses that were dialled, and ids by which somebody came. */
  readonly #banned = new Set<string>()

  constructor(state: NodeState) {
    this.#state = state
  }

  found(nowMs: number, swarm: NodeSwarm, addresses: readonly PeerAddress[]): void {
    for (const address of addresses) {
      if (address.peerId === this.#state.peerId) continue
      const known = swarm.addresses.get(keyOf(address))
      if (known !== undefined) {
        // Told of again: it may have come back.
        known.failures = 0
        known.retryAtMs = nowMs
      } else if (swarm.addresses.size < ADDRESSES_MAX) {
        swarm.addresses.set(keyOf(address), { address, state: 'idle', failures: 0, retryAtMs: nowMs })
      }
    }
    this.dial(nowMs, swarm)
  }

  /** Dials the addresses whose time has come, as far as there is room. */
  dial(nowMs: number, swarm: NodeSwarm): void {
    const { limits } = this.#state
    let dialling = 0
    for (const { state } of swarm.addresses.values()) if (state === 'dialling') dialling++
    for (const known of swarm.addresses.values()) {
      if (known.state !== 'idle' || this.#isKnownPeer(swarm, known.address)) continue
      if (known.retryAtMs > nowMs) {
        this.#state.wakeAt(known.retryAtMs)
        continue
      }
      if (swarm.peers.size + dialling >= limits.connectionsPerSwarmMax) return
      if (this.#state.peers.size + dialling >= limits.connectionsMax) return
      known.state = 'dialling'
      dialling++
      this.#state.effect({ kind: 'dial', infoHash: swarm.infoHash, address: known.address })
    }
  }

  dialFailed(nowMs: number, swarm: NodeSwarm, address: PeerAddress): void {
    const known = swarm.addresses.get(keyOf(address))
    if (known !== undefined) this.#retryLater(nowMs, swarm, known)
  }

  /**
   * Whoever knows a peer's id can say that he is that peer. So two connections are of one peer only if they lead to one address;
   * what somebody elsewhere holds by the same id keeps nobody out.
   *
   * @returns why the connection may not stay, or those that it replaces, if any
   */
  admit(
    nowMs: number,
    swarm: NodeSwarm,
    peer: { peerId: PeerId; dialled: PeerAddress | undefined; from: string },
  ): { refusal: CloseReason } | { twin?: Peer; madeRoom: readonly Peer[] } {
    const { peerId, dialled } = peer
    const { limits, peers } = this.#state
    const known = dialled && swarm.addresses.get(keyOf(dialled))
    if (known !== undefined) known.state = 'connected'
    if (peerId === this.#state.peerId) {
      if (dialled !== undefined) swarm.addresses.delete(keyOf(dialled))
      return { refusal: 'own-connection' }
    }
    if (this.#isBanned(swarm, dialled === undefined ? peerId : keyOf(dialled))) return { refusal: 'banned' }
    const twin = [...swarm.peers].find((other) => other.peerId === peerId && other.from === peer.from)
    if (twin !== undefined) {
      // Both dialled at once: both keep the connection that the one with the lower id dialled.
      const isOurs = dialled !== undefined
      const wasOurs = twin.dialled !== undefined
      const keepsOurs = this.#state.peerId < peerId
      return isOurs !== wasOurs && isOurs === keepsOurs ? { twin, madeRoom: [] } : { refusal: 'duplicate' }
    }
    const inSwarm = roomFor(nowMs, peer, swarm.peers, limits.connectionsPerSwarmMax)
    if (inSwarm.kind === 'full') return { refusal: 'too-many-connections' }
    const madeRoom = inSwarm.kind === 'replaces' ? [inSwarm.peer] : []
    const others = [...peers.values()].filter((other) => !madeRoom.includes(other))
    const inAll = roomFor(nowMs, peer, others, limits.connectionsMax)
    if (inAll.kind === 'full') return { refusal: 'too-many-connections' }
    return { madeRoom: inAll.kind === 'replaces' ? [...madeRoom, inAll.peer] : madeRoom }
  }

  /** A connection to `dialled`, admitted or refused, is over. */
  gone(nowMs: number, swarm: NodeSwarm, dialled: PeerAddress | undefined): void {
    const known = dialled && swarm.addresses.get(keyOf(dialled))
    if (known === undefined) return
    if (this.#isBanned(swarm, keyOf(known.address))) swarm.addresses.delete(keyOf(known.address))
    else this.#retryLater(nowMs, swarm, known)
  }

  /**
   * An id is only what a peer says of itself, and who dials may say another's. So who came by an id is not let in by it again, and
   * the peer that really has it can still be dialled where it is known to be.
   */
  ban({ swarm, peerId, dialled }: Peer): void {
    for (const whom of [peerId, ...(dialled === undefined ? [] : [keyOf(dialled)])]) {
      if (this.#banned.size >= BANNED_MAX) this.#banned.delete(this.#banned.values().next().value!)
      this.#banned.add(banOf(swarm, whom))
    }
  }

  #isBanned(swarm: NodeSwarm, whom: string): boolean {
    return this.#banned.has(banOf(swarm, whom))
  }

  #retryLater(nowMs: number, swarm: NodeSwarm, known: KnownAddress): void {
    known.state = 'idle'
    const waitMs = RETRY_MS[known.failures++]
    if (waitMs === undefined || !swarm.isDownloading) {
      swarm.addresses.delete(keyOf(known.address))
      return
    }
    known.retryAtMs = nowMs + waitMs
    this.#state.wakeAt(known.retryAtMs)
  }

  #isKnownPeer(swarm: NodeSwarm, address: PeerAddress): boolean {
    if (this.#isBanned(swarm, keyOf(address))) return true
    for (const { peerId, dialled, from } of swarm.peers) {
      if (peerId !== address.peerId) continue
      // Both who came and who was dialled says of himself what he likes: he must be where the peer is, or was.
      if (dialled?.peerId === peerId || from === '' || from === addressKey(address.host)) return true
    }
    return false
  }
}

/** By swarm: an honest seeder whose disk has spoilt one blob can serve all others. */
function banOf({ infoHash }: NodeSwarm, whom: string): string {
  return `${infoHash} ${whom}`
}

function keyOf({ host, port }: PeerAddress): string {
  return `${host} ${port}`
}
