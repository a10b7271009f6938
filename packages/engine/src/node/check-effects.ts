/**
 * What must hold of the effects of one node's engine, seen from outside: nothing is for a connection that is closed, a swarm
 * that was left or a buffer that was given back. Costs a few look-ups an effect: for tests and the simulator.
 */
import { assert, type InfoHash } from '@shoal/core'
import type { ConnectionId, FetchId, NodeEffect, NodeEvent } from './protocol.ts'

export class EffectsChecker {
  readonly #swarms = new Set<InfoHash>()
  readonly #connections = new Map<ConnectionId, InfoHash>()
  readonly #fetches = new Set<FetchId>()

  /** To be called with every event of the engine, and with what the engine answered. */
  check(event: NodeEvent, effects: readonly NodeEffect[]): void {
    if (event.kind === 'swarm-joined') this.#swarms.add(event.infoHash)
    else if (event.kind === 'connected') this.#connections.set(event.connection, event.infoHash)
    else if (event.kind === 'disconnected') this.#connections.delete(event.connection)
    for (const effect of effects) this.#checkEffect(effect)
    if (event.kind === 'swarm-left') this.#left(event.infoHash)
  }

  #checkEffect(effect: NodeEffect): void {
    if ('connection' in effect && !this.#connections.has(effect.connection))
      assert(false, `${effect.kind} is for a connection that is open (${effect.connection})`)
    if ('infoHash' in effect && !this.#swarms.has(effect.infoHash))
      assert(false, `${effect.kind} is for a swarm that was joined (${effect.infoHash})`)
    switch (effect.kind) {
      case 'close':
        this.#connections.delete(effect.connection)
        break
      case 'request':
        this.#fetches.add(effect.fetch)
        break
      case 'cancel':
      case 'verify':
      case 'write':
        if (!this.#fetches.has(effect.fetch))
          assert(false, `${effect.kind} is for a fetch that is under way (${effect.fetch})`)
        break
      case 'release':
        this.#fetches.delete(effect.fetch)
        break
    }
  }

  #left(infoHash: InfoHash): void {
    this.#swarms.delete(infoHash)
    for (const of of this.#connections.values())
      assert(of !== infoHash, 'who leaves a swarm parts from its peers')
  }
}
