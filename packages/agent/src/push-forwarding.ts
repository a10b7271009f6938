/**
 * Passes pushes on to the seeder, byte by byte as they come: `docker push localhost:…` from any node. The seeder answers
 * with locations that have no host, so what it says is right for a client of this node as it is.
 */
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { OciError } from '@shoal/oci'
import {
  ClientLeftError,
  type HttpAnswer,
  HttpClient,
  hasBody,
  isTransportFailure,
  loggableUrl,
} from '@shoal/service'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'

const PUSH_METHODS: readonly string[] = ['POST', 'PUT', 'PATCH']
/** The seeder may still have to make a large layer safe before it answers. It waits for its store for 15 minutes. */
export const ANSWER_TIMEOUT_MS = 16 * 60_000
/** More than the seeder takes uploads at once: its own refusal says more than waiting here. */
const CONNECTIONS_MAX = 256
/** Those of the connection, not of the message (RFC 9110, 7.6.1), and what is the next connection's own. */
const HOP_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'host',
  'expect',
])

export class PushForwarding {
  readonly #seederUrl: string
  readonly #log: Logger
  readonly #client = new HttpClient({
    connectionsMax: CONNECTIONS_MAX,
    connectTimeoutMs: 2_000,
    headersTimeoutMs: ANSWER_TIMEOUT_MS,
    bodyIdleTimeoutMs: ANSWER_TIMEOUT_MS,
  })

  constructor(parts: { readonly log: Logger }, init: { readonly seederUrl: string }) {
    this.#log = parts.log
    this.#seederUrl = init.seederUrl
  }

  async stop(): Promise<void> {
    await this.#client.close()
  }

  /** Registers before the registry's own routes, which answer everything that is no part of a push. */
  register(server: FastifyInstance): void {
    server.addHook('onRequest', async (request, reply) => {
      if (isPartOfPush(request)) await this.#forward(request, reply)
    })
  }

  async #forward(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { raw, method } = request
    const gone = new AbortController()
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) gone.abort(new ClientLeftError())
    })
    let answer: HttpAnswer
    try {
      answer = await this.#client.request(this.#seederUrl, {
        path: request.url,
        method,
        headers: endToEnd(raw.headers),
        signal: gone.signal,
        ...(hasBody(raw) && { body: forwarded(raw) }),
      })
    } catch (cause) {
      if (gone.signal.aborted) {
        reply.hijack()
        return
      }
      if (!isTransportFailure(cause)) throw cause
      // What this node knows is better than nothing.
      if (method === 'HEAD') return
      this.#log.warn(
        { event: 'push-not-forwarded', method, url: loggableUrl(request.url), err: cause },
        'push not forwarded',
      )
      throw new OciError('UNAVAILABLE', 'the seeder cannot be reached; push again', { cause })
    }
    reply.hijack()
    const { raw: out } = reply
    out.on('error', () => answer.body.destroy())
    out.writeHead(answer.status, endToEnd(answer.body.headers))
    answer.body.on('error', () => out.destroy())
    answer.body.pipe(out)
  }
}

/**
 * The body by a stream of its own: a client whose body is refused early would otherwise lose its connection before it has the
 * answer.
 */
function forwarded(raw: IncomingMessage): PassThrough {
  const body = new PassThrough()
  raw.once('close', () => raw.complete || body.destroy(new ClientLeftError()))
  return raw.pipe(body)
}

/**
 * Everything that brings something; an upload's state and end; and whether a blob is there, which somebody asks who is
 * about to leave it out: what this node has says nothing of what the seeder has. Manifests are looked at by those who pull.
 */
function isPartOfPush({ method, url }: FastifyRequest): boolean {
  if (!/^\/v2(?:[/?]|$)/.test(url) || !isPlain(url)) return false
  if (PUSH_METHODS.includes(method)) return true
  if (method === 'GET' || method === 'DELETE') return /\/blobs\/uploads\/[^/?]+(?:\?|$)/.test(url)
  return method === 'HEAD' && /\/blobs\/[^/?]+(?:\?|$)/.test(url)
}

/** Whether the path means what it says: dots in it would lead to what else the seeder serves. */
function isPlain(url: string): boolean {
  return new URL(url, 'http://seeder').pathname === url.split('?', 1)[0]
}

function endToEnd<T extends string | readonly string[]>(
  headers: Readonly<Record<string, T | undefined>>,
): Record<string, T> {
  const kept: Record<string, T> = {}
  // A connection may have headers of its own choice.
  const ofConnection = String(headers.connection ?? '')
    .toLowerCase()
    .split(/\s*,\s*/)
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !HOP_HEADERS.has(name) && !ofConnection.includes(name)) kept[name] = value
  return kept
}
