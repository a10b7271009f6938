/**
 * What is to be told to agents, gathered for a moment: when many come at once an agent hears of its new neighbours in all
 * swarms in one frame, and not in one for each that came.
 */
import type { ImportShare, InfoHash, PeerAddress, PeerId } from '@shoal/core'
import { PEERS_PER_SWARM_MAX, SWARMS_PER_FRAME_MAX, type TrackerMessage } from '@shoal/wire'

/** As long as agents gather what they say: far below what a pull takes, far above what a frame costs. */
const GATHER_MS = 5

interface Letter {
  readonly peers: Map<InfoHash, PeerAddress[]>
  readonly imports: Map<InfoHash, ImportShare>
}

export class Outbox {
  readonly #send: (to: PeerId, message: TrackerMessage) => void
  #letters = new Map<PeerId, Letter>()
  #timer: NodeJS.Timeout | undefined

  constructor(parts: { send: (to: PeerId, message: TrackerMessage) => void }) {
    this.#send = parts.send
  }

  peers(to: PeerId, infoHash: InfoHash, peers: readonly PeerAddress[]): void {
    const letter = this.#letterTo(to)
    const gathered = letter.peers.get(infoHash)
    if (gathered === undefined) letter.peers.set(infoHash, [...peers])
    else gathered.push(...peers)
  }

  /** The last word counts. */
  imports(to: PeerId, infoHash: InfoHash, imports: ImportShare): void {
    this.#letterTo(to).imports.set(infoHash, imports)
  }

  /** The agent's stream is closed, or begins anew: what was to be said is not true any more. */
  forget(to: PeerId): void {
    this.#letters.delete(to)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#letters.clear()
  }

  #letterTo(to: PeerId): Letter {
    let letter = this.#letters.get(to)
    if (letter === undefined) {
      letter = { peers: new Map(), imports: new Map() }
      this.#letters.set(to, letter)
      this.#timer ??= setTimeout(() => this.#flush(), GATHER_MS)
    }
    return letter
  }

  #flush(): void {
    this.#timer = undefined
    const letters = this.#letters
    this.#letters = new Map()
    for (const [to, { imports, peers }] of letters) {
      // Before the peers that they are about.
      const shares = [...imports].map(([infoHash, { modulus, remainders }]) => ({
        infoHash,
        modulus,
        remainders: [...remainders],
      }))
      for (const swarms of inFrames(shares)) this.#send(to, { type: 'imports', swarms })
      const heard = [...peers].map(([infoHash, some]) => ({
        infoHash,
        peers: some.length > PEERS_PER_SWARM_MAX ? some.slice(-PEERS_PER_SWARM_MAX) : some,
      }))
      for (const swarms of inFrames(heard)) this.#send(to, { type: 'peers', swarms })
    }
  }
}

function* inFrames<T>(items: readonly T[]): Generator<T[]> {
  for (let start = 0; start < items.length; start += SWARMS_PER_FRAME_MAX)
    yield items.slice(start, start + SWARMS_PER_FRAME_MAX)
}
