/** Has agents and the seeder try whether they reach an agent that asks: performs what `Tries` of the engine decides. */
import type { PeerAddress, PeerId } from '@shoal/core'
import { TRY_LIMITS, type TrackerTable, Tries, type TryEffect, type TryEvent } from '@shoal/engine'
import { type AgentMessage, type DialOutcome, encodeTrackerMessage, type TrackerMessage } from '@shoal/wire'

export type DialPeer = (peer: PeerAddress) => Promise<{ readonly outcome: DialOutcome; readonly ms: number }>

export interface PeerTriesParts {
  readonly table: TrackerTable
  /** The seeder's own peer address. */
  readonly seeder: PeerAddress
  readonly nowMs: () => number
  readonly dialPeer: DialPeer
  readonly nameOf: (agent: PeerId) => { readonly name: string; readonly zone: string }
  /** Peers as that agent can reach them. */
  readonly asDialled: (to: PeerId, peers: readonly PeerAddress[]) => readonly PeerAddress[]
  readonly send: (to: PeerId, frame: Uint8Array) => void
}

export class PeerTries {
  readonly #parts: PeerTriesParts
  readonly #tries: Tries
  #timer: NodeJS.Timeout | undefined

  constructor(parts: PeerTriesParts) {
    this.#parts = parts
    this.#tries = new Tries({ seeder: parts.seeder })
  }

  /**
   * The agent wants to know whom it reaches, and who reaches it.
   * @param remoteHost where its stream comes from
   */
  asked(agent: PeerId, id: number, remoteHost: string): void {
    const { table } = this.#parts
    const asker = table.addressOf(agent)
    if (asker === undefined) return
    const partners = table.tryPartners(agent, TRY_LIMITS.partnersMax)
    this.#step({ kind: 'asked', asker, id, partners, isOwnAddress: asker.host === remoteHost })
  }

  dialled(by: PeerId, { id, outcome, ms }: AgentMessage & { type: 'dialled' }): void {
    this.#step({ kind: 'dialled', by, dial: id, outcome, ms })
  }

  forget(agent: PeerId): void {
    this.#step({ kind: 'agent-left', peerId: agent })
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  #step(event: TryEvent): void {
    for (const effect of this.#tries.step(this.#parts.nowMs(), event)) this.#perform(effect)
  }

  #perform(effect: TryEffect): void {
    const { seeder, nowMs, nameOf, asDialled } = this.#parts
    switch (effect.kind) {
      case 'tell-peers': {
        const { asker: you, id } = effect
        const peers = asDialled(you.peerId, effect.peers).map((peer) => {
          const { name, zone } = peer.role === 'seeder' ? { name: 'seeder', zone: '' } : nameOf(peer.peerId)
          return { peer, name, zone }
        })
        this.#send(you.peerId, { type: 'peers-to-try', id, you, peers })
        break
      }
      case 'dial':
        if (effect.by === seeder) void this.#dial(effect.dial, effect.address)
        else this.#send(effect.by.peerId, { type: 'dial', id: effect.dial, peer: effect.address })
        break
      case 'tell-tried':
        this.#send(effect.asker, { type: 'tried', id: effect.id, tries: [...effect.tries] })
        break
      case 'refuse':
        this.#send(effect.asker, { type: 'try-refused', id: effect.id })
        break
      case 'set-timer':
        clearTimeout(this.#timer)
        this.#timer = setTimeout(() => this.#step({ kind: 'timer' }), Math.max(0, effect.atMs - nowMs()))
        this.#timer.unref()
        break
    }
  }

  async #dial(dial: number, address: PeerAddress): Promise<void> {
    const { seeder, dialPeer } = this.#parts
    const { outcome, ms } = await dialPeer(address)
    this.#step({ kind: 'dialled', by: seeder.peerId, dial, outcome, ms })
  }

  #send(to: PeerId, message: TrackerMessage): void {
    this.#parts.send(to, encodeTrackerMessage(message))
  }
}
