/**
 * Which peers are seeders, as far as anybody said: bytes are counted by it, and nothing else depends on it. Bounded, because other
 * agents say it too, of whomever they like.
 */
import type { PeerAddress, PeerId } from '@shoal/core'
import { LRUCache } from 'lru-cache'

/** A few replicas, each with a new id whenever it starts. */
export const SEEDERS_MAX = 256

export class SeederPeers {
  readonly #ids = new LRUCache<PeerId, true>({ max: SEEDERS_MAX })

  heard(peers: readonly PeerAddress[]): void {
    for (const { peerId, role } of peers) if (role === 'seeder') this.#ids.set(peerId, true)
  }

  has(peerId: PeerId): boolean {
    return this.#ids.has(peerId)
  }
}
