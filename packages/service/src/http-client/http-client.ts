/**
 * Asks HTTP servers, over connections that are kept and bounded; the only place of the services that does. What an answer means is
 * its caller's business, redirects are too.
 *
 * On Node's own agents rather than on undici or fetch: those take 11 to 20 MB of an idle process.
 */
import type { Agent, IncomingMessage } from 'node:http'
import type { LookupFunction } from 'node:net'
import { pipeline, type Readable } from 'node:stream'
import type { SecureContext } from 'node:tls'
import { type AgentInit, agentFor, type HttpProxy, parseProxy } from './agents.ts'
import { answerOf, type HttpAnswer } from './answer.ts'
import { HttpClientClosedError, HttpNoAnswerError, ProxyRefusedError } from './errors.ts'
import { HostTurns } from './host-turns.ts'
import { limitTimes, type TimeLimits } from './time-limits.ts'

const http = process.getBuiltinModule('node:http')
const https = process.getBuiltinModule('node:https')

export interface HttpClientInit extends TimeLimits {
  /** Requests to one host at a time, from their connection to the end of their answer's body; all by default. */
  readonly connectionsMax?: number
  /** For the connection and its handshake; through a proxy also for its answer to CONNECT: each. */
  readonly connectTimeoutMs: number
  readonly lookup?: LookupFunction
  readonly secureContext?: SecureContext
  /** The URL of a proxy to go through, with its user and password. */
  readonly proxy?: string
}

export interface HttpRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Readable
  /** Instead of the URL's, as it is, where it must not be tidied. */
  readonly path?: string
  readonly signal?: AbortSignal
}

interface Exchange {
  readonly target: URL
  readonly request: HttpRequest
  readonly signal: AbortSignal
  /** Called once the connection is free or gone. */
  readonly end: () => void
  /** Asks the same over another connection. */
  readonly again: (() => Promise<HttpAnswer>) | undefined
}

/** Safe to ask again when a kept connection turns out to be closed (RFC 9110, 9.2.2). */
const REPEATABLE: readonly string[] = ['GET', 'HEAD']

export class HttpClient {
  readonly #init: HttpClientInit
  readonly #proxy: HttpProxy | undefined
  readonly #turns: HostTurns
  readonly #agents = new Map<string, Agent>()
  readonly #closing = new AbortController()

  constructor(init: HttpClientInit) {
    this.#init = init
    this.#proxy = init.proxy === undefined ? undefined : parseProxy(init.proxy)
    this.#turns = new HostTurns(init.connectionsMax ?? Number.POSITIVE_INFINITY)
  }

  /**
   * @throws HttpClientError · what Node says of the connection · what the request's body was destroyed with · the signal's reason
   */
  async request(url: string | URL, request: HttpRequest = {}): Promise<HttpAnswer> {
    const target = new URL(url)
    const closing = this.#closing.signal
    const signal = request.signal === undefined ? closing : AbortSignal.any([request.signal, closing])
    const isRepeatable = request.body === undefined && REPEATABLE.includes(request.method ?? 'GET')
    const exchange = async (mayRepeat: boolean): Promise<HttpAnswer> => {
      const end = await this.#turns.take(target.origin, signal)
      return this.#exchange({
        target,
        request,
        signal,
        end,
        again: mayRepeat ? () => exchange(false) : undefined,
      })
    }
    try {
      return await exchange(isRepeatable)
    } catch (error) {
      // Also a body of which nothing was sent: what it reads from stays open otherwise.
      if (typeof request.body === 'object') request.body.destroy()
      throw error
    }
  }

  /** Cuts what is under way. */
  async close(): Promise<void> {
    this.#closing.abort(new HttpClientClosedError())
    for (const agent of this.#agents.values()) agent.destroy()
  }

  #agent(protocol: string): Agent {
    const known = this.#agents.get(protocol)
    if (known !== undefined) return known
    const { connectionsMax = Number.POSITIVE_INFINITY, connectTimeoutMs, lookup, secureContext } = this.#init
    const init: AgentInit = {
      connectionsMax,
      connectTimeoutMs,
      closing: this.#closing.signal,
      ...(lookup !== undefined && { lookup }),
      ...(secureContext !== undefined && { secureContext }),
      ...(this.#proxy !== undefined && { proxy: this.#proxy }),
    }
    const agent = agentFor(protocol, init)
    this.#agents.set(protocol, agent)
    return agent
  }

  #exchange({ target, request, signal, end, again }: Exchange): Promise<HttpAnswer> {
    const { body: sent } = request
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>()
    const asked = this.#asked(target, request, end)
    limitTimes(asked, target.host, this.#init)
    let received: IncomingMessage | undefined
    let sourceError: unknown
    const abort = () => {
      // A request that waits for its tunnel is silent about its end until the tunnel stands.
      reject(signal.reason)
      const cut = received ?? asked
      cut.destroy(signal.reason)
    }
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort)
    asked.once('response', (body: IncomingMessage) => {
      received = body
      const answer = answerOf(body)
      if (answer.status === 407 && this.#proxy !== undefined && target.protocol === 'http:') {
        body.destroy()
        reject(new ProxyRefusedError(target.host, 407))
      } else resolve(answer)
    })
    // Also after the answer: an upload that is refused early may be cut.
    asked.on('error', (error) => {
      if (signal.aborted) reject(signal.reason)
      else if (again !== undefined && received === undefined && asked.reusedSocket && wasClosed(error))
        resolve(again())
      else reject(sourceError ?? error)
    })
    asked.once('close', () => {
      signal.removeEventListener('abort', abort)
      end()
      // Heard only where nothing was before: Node says nothing of a change of protocols that nobody asked for.
      reject(new HttpNoAnswerError(target.host))
    })
    if (sent === undefined || typeof sent === 'string') asked.end(sent)
    else {
      sent.once('error', (error) => {
        sourceError ??= error
      })
      pipeline(sent, asked, () => {})
    }
    return promise
  }

  #asked(target: URL, request: HttpRequest, end: () => void) {
    const { protocol, hostname, port, pathname, search } = target
    const path = request.path ?? `${pathname}${search}`
    const isForProxy = this.#proxy !== undefined && protocol === 'http:'
    const login = isForProxy ? this.#proxy?.authorization : undefined
    try {
      return (protocol === 'https:' ? https : http).request({
        protocol,
        hostname: hostname.replace(/^\[(.*)\]$/, '$1'),
        ...(port !== '' && { port }),
        path: isForProxy ? `${target.origin}${path}` : path,
        method: request.method ?? 'GET',
        headers: {
          ...(request.headers as Record<string, string | string[]>),
          ...(login !== undefined && { 'proxy-authorization': login }),
        },
        agent: this.#agent(protocol),
      })
    } catch (error) {
      end()
      throw error
    }
  }
}

/** The server closed a connection that was kept, as the request was on its way. */
function wasClosed(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ECONNRESET' || error.code === 'EPIPE'
}
