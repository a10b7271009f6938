/**
 * What the tracker says of swarms that this node has not joined yet. Asking for an image makes it a member on the tracker's
 * side; what is pushed between the answer and the joining would be lost, and an early member would know nobody. Pure.
 */
import type { InfoHash, PeerAddress } from '@shoal/core'
import type { ImportShare } from '../policy/handout.ts'
import { PULL_LIMITS } from './limits.ts'
import type { SwarmNews } from './protocol.ts'

const NOTHING: SwarmNews = { peers: [], imports: undefined }

export class EarlyNews {
  readonly #bySwarm = new Map<InfoHash, SwarmNews>()

  peers(infoHash: InfoHash, peers: readonly PeerAddress[]): void {
    const { imports, ...before } = this.#bySwarm.get(infoHash) ?? NOTHING
    this.#keep(infoHash, { peers: [...before.peers, ...peers].slice(-PULL_LIMITS.earlyPeersMax), imports })
  }

  imports(infoHash: InfoHash, imports: ImportShare): void {
    const { peers } = this.#bySwarm.get(infoHash) ?? NOTHING
    this.#keep(infoHash, { peers, imports })
  }

  /** What was said of a swarm that is being joined. */
  take(infoHash: InfoHash): SwarmNews {
    const news = this.#bySwarm.get(infoHash) ?? NOTHING
    this.#bySwarm.delete(infoHash)
    return news
  }

  /** A new stream: the tracker says again what still holds. */
  clear(): void {
    this.#bySwarm.clear()
  }

  #keep(infoHash: InfoHash, news: SwarmNews): void {
    this.#bySwarm.set(infoHash, news)
    if (this.#bySwarm.size > PULL_LIMITS.earlySwarmsMax)
      this.#bySwarm.delete(this.#bySwarm.keys().next().value!)
  }
}
