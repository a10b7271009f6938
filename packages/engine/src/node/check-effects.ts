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
    switch (effect.kind) {
      case 'send':
      case 'send-block':
        this.#checkOpen(effect)
        break
      case 'close':
        this.#checkOpen(effect)
        this.#connections.delete(effect.connection)
        break
      case 'request':
        this.#checkOpen(effect)
        this.#fetches.add(effect.fetch)
        break
      case 'cancel':
        this.#checkOpen(effect)
        this.#checkUnderWay(effect)
        break
      case 'verify':
      case 'write':
        this.#checkJoined(effect)
        this.#checkUnderWay(effect)
        break
      case 'release':
        this.#fetches.delete(effect.fetch)
        break
      case 'dial':
      case 'piece-here':
      case 'bad-piece':
        this.#checkJoined(effect)
        break
      case 'set-timer':
        break
    }
  }

  // The text is made only where it is needed: a simulation has millions of effects.

  #checkOpen({ kind, connection }: { kind: string; connection: ConnectionId }): void {
    if (!this.#connections.has(connection))
      assert(false, `${kind} is for a connection that is open (${connection})`)
  }

  #checkUnderWay({ kind, fetch }: { kind: string; fetch: FetchId }): void {
    if (!this.#fetches.has(fetch)) assert(false, `${kind} is for a fetch that is under way (${fetch})`)
  }

  #checkJoined({ kind, infoHash }: { kind: string; infoHash: InfoHash }): void {
    if (!this.#swarms.has(infoHash)) assert(false, `${kind} is for a swarm that was joined (${infoHash})`)
  }

  #left(infoHash: InfoHash): void {
    this.#swarms.delete(infoHash)
    for (const of of this.#connections.values())
      assert(of !== infoHash, 'who leaves a swarm parts from its peers')
  }
}
