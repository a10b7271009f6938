/**
 * What is to be told to agents, gathered for a moment: when many come at once an agent hears of its new neighbours in all
 * swarms in one frame, and not in one for each that came.
 */

import type { InfoHash, PeerAddress, PeerId } from '@shoal/core'
import type { ImportShare } from '@shoal/engine'
import {
  encodePeersFrame,
  encodeTrackerMessage,
  PEERS_PER_SWARM_MAX,
  SWARMS_PER_FRAME_MAX,
} from '@shoal/wire'

/** As long as agents gather what they say: far below what a pull takes, far above what a frame costs. */
const GATHER_MS = 5
/** Newcomers that one agent is told of at a time. */
const CONTACTS_MAX = 16

interface Letter {
  readonly peers: Map<InfoHash, readonly PeerAddress[]>
  readonly imports: Map<InfoHash, ImportShare>
  contacts: readonly PeerAddress[]
}

export class Outbox {
  readonly #send: (to: PeerId, frame: Uint8Array) => void
  #letters = new Map<PeerId, Letter>()
  #timer: NodeJS.Timeout | undefined

  constructor(parts: { send: (to: PeerId, frame: Uint8Array) => void }) {
    this.#send = parts.send
  }

  peers(to: PeerId, infoHash: InfoHash, peers: readonly PeerAddress[]): void {
    const letter = this.#letterTo(to)
    const gathered = letter.peers.get(infoHash)
    letter.peers.set(infoHash, gathered === undefined ? peers : [...gathered, ...peers])
  }

  /** The last word counts. */
  imports(to: PeerId, infoHash: InfoHash, imports: ImportShare): void {
    this.#letterTo(to).imports.set(infoHash, imports)
  }

  contacts(to: PeerId, agents: readonly PeerAddress[]): void {
    const letter = this.#letterTo(to)
    letter.contacts = [...letter.contacts, ...agents].slice(-CONTACTS_MAX)
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
      letter = { peers: new Map(), imports: new Map(), contacts: [] }
      this.#letters.set(to, letter)
      this.#timer ??= setTimeout(() => this.#flush(), GATHER_MS)
    }
    return letter
  }

  #flush(): void {
    this.#timer = undefined
    const letters = this.#letters
    this.#letters = new Map()
    for (const [to, { imports, peers, contacts }] of letters) {
      // Shares go before the peers that they are about.
      const shares = Array.from(imports, ([infoHash, { modulus, remainders }]) => ({
        infoHash,
        modulus,
        remainders: [...remainders],
      }))
      for (const swarms of inFrames(shares))
        this.#send(to, encodeTrackerMessage({ type: 'imports', swarms: [...swarms] }))
      const heard = Array.from(peers, ([infoHash, some]) => ({
        infoHash,
        peers: some.length > PEERS_PER_SWARM_MAX ? some.slice(-PEERS_PER_SWARM_MAX) : some,
      }))
      for (const swarms of inFrames(heard)) this.#send(to, encodePeersFrame(swarms))
      if (contacts.length > 0)
        this.#send(to, encodeTrackerMessage({ type: 'contacts', agents: [...contacts] }))
    }
  }
}

function* inFrames<T>(items: readonly T[]): Generator<readonly T[]> {
  if (items.length <= SWARMS_PER_FRAME_MAX) {
    if (items.length > 0) yield items
    return
  }
  for (let start = 0; start < items.length; start += SWARMS_PER_FRAME_MAX)
    yield items.slice(start, start + SWARMS_PER_FRAME_MAX)
}
