/**
 * Which request some code works for, however many turns later: when an error comes up that nobody handles, its request is cut,
 * and its client asks again instead of waiting for an answer that never comes.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { loggableUrl } from './loggable-url.ts'

interface UnderWay {
  /** Undefined once it is answered: what it has begun may go on for long, and is not to keep it in memory. */
  request: FastifyRequest | undefined
}

const storage = new AsyncLocalStorage<UnderWay>()
const underWayOf = new WeakMap<FastifyRequest, UnderWay>()

/** Has everything that a server's requests begin know where it belongs. */
export function nameRequests(server: FastifyInstance): void {
  server.addHook('onRequest', (request, _reply, done) => {
    const underWay = { request }
    underWayOf.set(request, underWay)
    storage.run(underWay, done)
  })
  server.addHook('onResponse', (request, _reply, done) => {
    const underWay = underWayOf.get(request)
    if (underWay !== undefined) underWay.request = undefined
    done()
  })
}

/** What the log may say of a request. */
export interface CutRequest {
  readonly reqId: string
  readonly method: string
  readonly url: string
}

/**
 * Cuts the connection of the request that the code running now works for.
 * @returns undefined when that is none, or one that is over
 */
export function cutRequestUnderWay(): CutRequest | undefined {
  const request = storage.getStore()?.request
  if (request === undefined) return undefined
  request.raw.socket.destroy()
  return { reqId: request.id, method: request.method, url: loggableUrl(request.url) }
}
