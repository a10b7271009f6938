/**
 * Bounds the connections of an HTTP server, for all clients together and for each address. One that does nothing loses its
 * place when somebody comes and there is none: clients open another when they need it.
 *
 * Beside that, what a connection may not do: ask very much without waiting for an answer, leave an answer unread for long,
 * send a body that nobody reads.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { FairPlaces } from '@shoal/engine'
import { steadyMs } from './clock.ts'

export interface ConnectionLimits {
  readonly connectionsMax: number
  readonly connectionsPerAddressMax: number
  /** Requests of one connection that are not answered yet. Clients of registries wait for each answer. */
  readonly requestsPerConnectionMax: number
  /** How long the end of an answer may wait for the client, once all of it was written. */
  readonly answerTimeoutMs: number
  /** How long a body may go on that the answer did not need. */
  readonly restOfBodyMs: number
}

interface Connection {
  readonly answers: Set<ServerResponse>
  /** When an answer was first seen written and not taken. */
  waitsSinceMs: number | undefined
}

export class ConnectionPlaces {
  readonly #limits: ConnectionLimits
  readonly #places: FairPlaces<Socket>
  readonly #connections = new Map<Socket, Connection>()

  constructor(limits: ConnectionLimits) {
    this.#limits = limits
    this.#places = new FairPlaces({
      placesMax: limits.connectionsMax,
      placesPerAddressMax: limits.connectionsPerAddressMax,
    })
  }

  guard(server: Server): void {
    server.on('connection', (socket) => this.#accept(socket))
    // Counted before it is answered: a request that is answered at once would otherwise count as under way for ever.
    server.prependListener('request', (request, response) => this.#begin(request, response))
    const looking = setInterval(() => this.#cutUnread(), this.#limits.answerTimeoutMs / 4)
    looking.unref()
    server.once('close', () => clearInterval(looking))
  }

  /** It is no HTTP connection any more: whoever took it over has bounds of its own. */
  release(socket: Socket): void {
    this.#forget(socket)
  }

  /** Whether more of its requests are unanswered than may be. */
  asksTooMuch(socket: Socket): boolean {
    return (this.#connections.get(socket)?.answers.size ?? 0) > this.#limits.requestsPerConnectionMax
  }

  #accept(socket: Socket): void {
    const taken = this.#places.take(socket.remoteAddress ?? '', socket)
    if (taken.kind === 'refused') {
      socket.destroy()
      return
    }
    this.#connections.set(socket, { answers: new Set(), waitsSinceMs: undefined })
    socket.once('close', () => this.#forget(socket))
    if (taken.displaced !== undefined) {
      this.#forget(taken.displaced)
      taken.displaced.destroy()
    }
  }

  #begin(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    const connection = this.#connections.get(socket)
    if (connection === undefined) return
    connection.answers.add(response)
    this.#places.use(socket)
    response.once('close', () => {
      connection.answers.delete(response)
      connection.waitsSinceMs = undefined
      if (connection.answers.size === 0) this.#places.rest(socket)
      if (!request.complete) this.#cutLater(request)
    })
  }

  /** Clients that were answered early still send what they had begun to; who does not come to an end is cut. */
  #cutLater(request: IncomingMessage): void {
    const { socket } = request
    const timer = setTimeout(() => request.complete || socket.destroy(), this.#limits.restOfBodyMs)
    timer.unref()
    request.once('end', () => clearTimeout(timer))
    socket.once('close', () => clearTimeout(timer))
  }

  #cutUnread(): void {
    const nowMs = steadyMs()
    for (const [socket, connection] of this.#connections) {
      const isWaiting = [...connection.answers].some((answer) => answer.writableEnded)
      connection.waitsSinceMs = isWaiting ? (connection.waitsSinceMs ?? nowMs) : undefined
      if (nowMs - (connection.waitsSinceMs ?? nowMs) >= this.#limits.answerTimeoutMs) socket.destroy()
    }
  }

  #forget(socket: Socket): void {
    this.#connections.delete(socket)
    this.#places.free(socket)
  }
}
