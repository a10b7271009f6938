/**
 * What the tracker says of swarms that this node has not joined yet. Asking for an image makes it a member on the tracker's
 * side; what is pushed between the answer and the joining would be lost, and an early member would know nobody.
 */

import type { InfoHash, PeerAddress } from '@shoal/core'
import type { ImportShare } from '@shoal/engine'

/** The longest manifest that can be pushed names so many blobs. */
const SWARMS_MAX = 2_048
const PEERS_MAX = 64

interface News {
  peers: readonly PeerAddress[]
  imports: ImportShare | undefined
}

const NOTHING: News = { peers: [], imports: undefined }

export class EarlyNews {
  readonly #bySwarm = new Map<InfoHash, News>()

  peers(infoHash: InfoHash, peers: readonly PeerAddress[]): void {
    const news = this.#of(infoHash)
    news.peers = [...news.peers, ...peers].slice(-PEERS_MAX)
  }

  imports(infoHash: InfoHash, imports: ImportShare): void {
    this.#of(infoHash).imports = imports
  }

  /** What was said of a swarm that is being joined. */
  take(infoHash: InfoHash): Readonly<News> {
    const news = this.#bySwarm.get(infoHash) ?? NOTHING
    this.#bySwarm.delete(infoHash)
    return news
  }

  /** A new stream: the tracker says again what still holds. */
  clear(): void {
    this.#bySwarm.clear()
  }

  #of(infoHash: InfoHash): News {
    let news = this.#bySwarm.get(infoHash)
    if (news === undefined) {
      news = { peers: [], imports: undefined }
      this.#bySwarm.set(infoHash, news)
      if (this.#bySwarm.size > SWARMS_MAX) this.#bySwarm.delete(this.#bySwarm.keys().next().value!)
    }
    return news
  }
}
