/** What one step has to tell: gathered, so that an agent hears once of all that is new to it in a swarm. Pure. */

import type { InfoHash, PeerAddress } from '@shoal/core'
import type { ImportShare } from '../policy/handout.ts'
import type { TrackerEffect } from './protocol.ts'
import type { Member } from './swarm.ts'

export class News {
  /** One for all that have none: most members. */
  readonly #none: ImportShare
  readonly #peers = new Map<Member, PeerAddress[]>()
  readonly #imports = new Set<Member>()
  #swarms: TrackerEffect[] = []

  /** @param modulus of all import shares */
  constructor(modulus: number) {
    this.#none = { modulus, remainders: [] }
  }

  swarm(kind: 'swarm-began' | 'swarm-ended', infoHash: InfoHash): void {
    this.#swarms.push({ kind, infoHash })
  }

  peer(to: Member, peer: PeerAddress): void {
    const peers = this.#peers.get(to)
    if (peers === undefined) this.#peers.set(to, [peer])
    else peers.push(peer)
  }

  /** The member's share is another one than before, or has to be said for the first time. */
  imports(member: Member): void {
    this.#imports.add(member)
  }

  /** The member has left: there is nobody to tell. */
  left(member: Member): void {
    this.#peers.delete(member)
    this.#imports.delete(member)
  }

  /** Shares come before the peers that they are about. */
  take(): TrackerEffect[] {
    const effects = this.#swarms
    this.#swarms = []
    for (const member of this.#imports) {
      if (isSame(member.importsTold, member.remainders)) continue
      const imports =
        member.remainders.length === 0 ? this.#none : { ...this.#none, remainders: [...member.remainders] }
      member.importsTold = imports
      effects.push({
        kind: 'set-imports',
        to: member.address.peerId,
        infoHash: member.swarm.infoHash,
        imports,
      })
    }
    this.#imports.clear()
    for (const [member, peers] of this.#peers)
      effects.push({
        kind: 'send-peers',
        to: member.address.peerId,
        infoHash: member.swarm.infoHash,
        peers,
      })
    this.#peers.clear()
    return effects
  }
}

function isSame(told: ImportShare | undefined, remainders: readonly number[]): boolean {
  return (
    told !== undefined &&
    told.remainders.length === remainders.length &&
    remainders.every((remainder, i) => told.remainders[i] === remainder)
  )
}
