/**
 * Asks HTTP servers, over connections that are kept and bounded; the only place of the services that does. What an answer means is
 * its caller's business, redirects are too.
 *
 * On Node's own agents rather than on undici or fetch: those take 11 to 20 MB of an idle process.
 */
import type { Agent, IncomingMessage } from 'node:http'
import type { LookupFunction, Socket } from 'node:net'
import { pipeline, type Readable } from 'node:stream'
import type { SecureContext } from 'node:tls'
import { type AgentInit, agentFor, type HttpProxy, parseProxy } from './agents.ts'
import { answerOf, type HttpAnswer } from './answer.ts'
import { HttpClientClosedError, HttpTimeoutError, ProxyRefusedError } from './errors.ts'
import { HostTurns } from './host-turns.ts'

const http = process.getBuiltinModule('node:http')
const https = process.getBuiltinModule('node:https')

export interface HttpClientInit {
  /** Requests to one host at a time, from their connection to the end of their answer's body; all by default. */
  readonly connectionsMax?: number
  /** For the connection and its handshake; through a proxy also for its answer to CONNECT: each. */
  readonly connectTimeoutMs: number
  /** From the request's last byte to the answer's headers, and between two bytes of a request. */
  readonly headersTimeoutMs: number
  /** How long a body may stand still while somebody reads it. */
  readonly bodyIdleTimeoutMs: number
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

/** No timer of Node is longer. */
const TIMER_MS_MAX = 2 ** 31 - 1
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
    return exchange(isRepeatable)
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
      ...(lookup !== undefined && { lookup }),
      ...(secureContext !== undefined && { secureContext }),
      ...(this.#proxy !== undefined && { proxy: this.#proxy }),
    }
    const agent = agentFor(protocol, init)
    this.#agents.set(protocol, agent)
    return agent
  }

  #exchange({ target, request, signal, end, again }: Exchange): Promise<HttpAnswer> {
    const { headersTimeoutMs, bodyIdleTimeoutMs } = this.#init
    const { body: sent } = request
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>()
    const asked = this.#asked(target, request, end)
    const late = (phase: 'send' | 'headers' | 'body') =>
      new HttpTimeoutError(target.host, phase, phase === 'body' ? bodyIdleTimeoutMs : headersTimeoutMs)
    let received: IncomingMessage | undefined
    let sourceError: unknown
    let headersTimer: NodeJS.Timeout | undefined
    const abort = () => (received ?? asked).destroy(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort)
    // The socket's own timer is moved by every byte in either direction.
    const idle = (socket: Socket) => {
      if (received === undefined) {
        if (!socket.connecting && !asked.writableFinished) asked.destroy(late('send'))
      } else if (received.readableLength > 0 || bodyIdleTimeoutMs === 0) {
        // Whoever reads is slower than who sends.
        socket.setTimeout(timerMs(bodyIdleTimeoutMs))
      } else received.destroy(late('body'))
    }
    asked.once('socket', (socket: Socket) => {
      const onIdle = () => idle(socket)
      socket.setTimeout(timerMs(headersTimeoutMs)).on('timeout', onIdle)
      asked.once('close', () => socket.off('timeout', onIdle))
    })
    asked.once('finish', () => {
      if (received !== undefined || headersTimeoutMs === 0) return
      headersTimer = setTimeout(() => asked.destroy(late('headers')), headersTimeoutMs)
    })
    asked.once('response', (body: IncomingMessage) => {
      clearTimeout(headersTimer)
      received = body
      const answer = answerOf(body)
      body.socket.setTimeout(timerMs(bodyIdleTimeoutMs))
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
      clearTimeout(headersTimer)
      signal.removeEventListener('abort', abort)
      end()
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

/** Zero stands for no limit. */
function timerMs(ms: number): number {
  return Math.min(ms, TIMER_MS_MAX)
}
