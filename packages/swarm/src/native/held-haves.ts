/**
 * Keeps from the deciding engine what peers have of pieces whose hashes are not known yet: such a piece could not be verified,
 * so it must not be asked for. Pure.
 */
import { Bitfield } from '@shoal/core'
import type { ConnectionId } from '@shoal/engine'
import type { PeerMessage } from '@shoal/wire'

export class HeldHaves {
  readonly #known: Bitfield
  readonly #held = new Map<ConnectionId, Bitfield>()

  /** @param known pieces whose hashes are known; copied */
  constructor(known: Bitfield) {
    this.#known = Bitfield.fromBytes(known.toBytes(), known.length)!
  }

  /** What the engine may hear of a message: the same, another, or nothing. */
  hear(connection: ConnectionId, message: PeerMessage): PeerMessage | undefined {
    if (this.#known.isFull) return message
    switch (message.kind) {
      case 'have':
        // A piece beyond the end is passed on: the engine refuses it.
        if (message.index >= this.#known.length || this.#known.has(message.index)) return message
        this.#hold(connection, message.index)
        return undefined
      case 'have-all':
        return this.#part(connection, Bitfield.full(this.#known.length))
      case 'bitfield': {
        const have = Bitfield.fromBytes(message.bytes, this.#known.length)
        return have === undefined ? message : this.#part(connection, have)
      }
      default:
        return message
    }
  }

  /** The connections whose peers have the piece. */
  learn(index: number): ConnectionId[] {
    if (!this.#known.set(index)) return []
    return [...this.#held].flatMap(([connection, held]) => (held.clear(index) ? [connection] : []))
  }

  gone(connection: ConnectionId): void {
    this.#held.delete(connection)
  }

  /** The part that is known now; the rest is held. */
  #part(connection: ConnectionId, have: Bitfield): PeerMessage {
    const part = new Bitfield(have.length)
    for (let index = 0; index < have.length; index++) {
      if (!have.has(index)) continue
      if (this.#known.has(index)) part.set(index)
      else this.#hold(connection, index)
    }
    return { kind: 'bitfield', bytes: part.toBytes() }
  }

  #hold(connection: ConnectionId, index: number): void {
    let held = this.#held.get(connection)
    if (held === undefined) {
      held = new Bitfield(this.#known.length)
      this.#held.set(connection, held)
    }
    held.set(index)
  }
}
