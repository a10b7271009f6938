/** The HTTP server that a service of Shoal shows: requests in the log, alive and ready, OCI bodies for what fastify refuses. */

import type { IncomingMessage, Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { assert, type HostPort, type ServiceName, ShoalError } from '@shoal/core'
import { OciError } from '@shoal/oci'
import { ANNOUNCE_STREAM_PATH } from '@shoal/wire'
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import type { Logger } from 'pino'
import { hasBody } from './announced-body.ts'
import { BodyPlaces, type BodyPlacesInit } from './body-places.ts'
import { ClientLeftError } from './client-left.ts'
import { steadyMs } from './clock.ts'
import { type ConnectionLimits, ConnectionPlaces } from './connection-places.ts'
import { loggableUrl } from './loggable-url.ts'
import { nameRequests } from './request-under-way.ts'
import { schemaController } from './schema-compilers.ts'
import { UnreadAnswers, type UnreadAnswersInit } from './unread-answers.ts'
import { version } from './version.ts'

const MIB = 1024 * 1024

/** What `/readyz` says beyond that the service listens. */
export interface Readiness {
  /** Why the service cannot do its work now; it is not ready where there are any. */
  readonly problems: readonly string[]
  /** What is wrong, though it does its work. */
  readonly warnings: readonly string[]
}

export interface HttpServerLimits {
  /** From a connection's or a request's first byte to the end of its headers. */
  readonly headersTimeoutMs: number
  /** For the whole of a small body; those of blobs and manifests have the registry's own limits. */
  readonly bodyTimeoutMs: number
  /** Small bodies that are being received. */
  readonly bodies: BodyPlacesInit
  readonly connections: ConnectionLimits
  readonly unreadAnswers: UnreadAnswersInit
}

/**
 * 500 agents with eight connections each may come from one address, that of a gateway or a proxy; four such are all. An idle
 * connection takes about 10 KiB. Those to whom an agent's stream belongs are not counted here.
 */
export const HTTP_SERVER_LIMITS: HttpServerLimits = {
  headersTimeoutMs: 10_000,
  bodyTimeoutMs: 10_000,
  // Events of registries may be 1 MiB long, and their sender is known only when they are here.
  bodies: { placesMax: 64, placesPerAddressMax: 48, stallMs: 1_000, patienceMs: 2_000 },
  connections: {
    connectionsMax: 16_384,
    connectionsPerAddressMax: 4_096,
    requestsPerConnectionMax: 32,
    answerTimeoutMs: 120_000,
    restOfBodyMs: 5_000,
  },
  // Sixty manifests of the greatest length, or resolutions of some hundreds of nodes that ask in the same moment.
  unreadAnswers: { bytesMax: 256 * MIB, bytesPerAddressMax: 192 * MIB, stallMs: 5_000 },
}
/** What is shorter is in the system's buffers, not here. */
const ANSWER_COUNTED_BYTES = 64 * 1024

/**
 * podman asks for up to 1024 ranges of a zstd:chunked layer at once and fails the pull on a 431: with offsets of terabytes they
 * take 30 KiB, and Node allows 16.
 */
const HEAD_BYTES_MAX = 64 * 1024
/** A digest of SHA-512 has 135 characters, and an ending may follow; fastify allows 100. */
const PATH_PARAMETER_LENGTH_MAX = 256

export interface HttpServerInit {
  /** What `/readyz` says that this is, with its version, so that nobody takes one for another. */
  readonly service?: ServiceName
  readonly limits?: Partial<HttpServerLimits>
  /** Asked each time. */
  readonly readiness?: () => Readiness
  /** What Prometheus is given at `/metrics`. */
  readonly metrics?: { readonly contentType: string; metrics(): Promise<string> }
  /** What the routes behind it need of fastify before it knows them. */
  readonly routing?: Pick<FastifyServerOptions<Server>, 'frameworkErrors'> & {
    readonly rewriteUrl?: (url: string) => string
  }
}

/**
 * Listens when its owner says so; by then everything behind it runs, so whoever gets an answer from `/readyz` gets a ready
 * service. Closing it cuts the bodies that are under way: clients ask again.
 */
export function createHttpServer(log: Logger, init: HttpServerInit = {}): FastifyInstance {
  const { service, metrics, readiness = () => ({ problems: [], warnings: [] }) } = init
  const { rewriteUrl = (url: string) => url, ...routing } = init.routing ?? {}
  const limits = { ...HTTP_SERVER_LIMITS, ...init.limits }
  const server: FastifyInstance = fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
    ...routing,
    rewriteUrl: ({ url = '' }: IncomingMessage) => rewriteUrl(url),
    schemaController,
    routerOptions: { maxParamLength: PATH_PARAMETER_LENGTH_MAX },
    // Node's own limit is a minute, and fastify's is none: too long for a client that sends a byte now and then.
    http: {
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: limits.headersTimeoutMs / 4,
      // Clients that offer HTTP/2 with an upgrade (`h2c`) do so on any route, and are answered as if they had not (RFC 9110, 7.8).
      shouldUpgradeCallback: (request) => server.server.listenerCount('upgrade') > 0 && opensStream(request),
    },
  })
  server.server.on('error', (err) => {
    // That it could not listen is told by `listen` itself.
    if (server.server.listening)
      log.warn({ event: 'connection-not-accepted', err }, 'a connection could not be accepted')
  })
  nameRequests(server)
  boundConnections(server, limits.connections)
  boundAnswers(server, limits.unreadAnswers)
  boundBodies(server, limits)
  // An unexpected error goes to the log only: its message may name files of this machine.
  server.setErrorHandler<FastifyError>((error, request, reply) => {
    const status = error.statusCode ?? 500
    if (status < 500)
      return reply.code(status).send({ statusCode: status, code: error.code, message: error.message })
    request.log.error({ event: 'request-failed', err: error }, 'request failed')
    return reply
      .code(status)
      .send({ statusCode: status, code: 'UNKNOWN', message: 'it failed; the log says why' })
  })
  server.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({ statusCode: 404, code: 'NOT_FOUND', message: 'no such route' }),
  )
  server.addHook('onResponse', async (request, reply) => {
    const { method } = request
    const url = loggableUrl(request.url)
    const status = reply.statusCode
    // Clients' requests tell an operator what happened; those of agents and of Prometheus are too many.
    const level = url.startsWith('/v2/') ? 'info' : 'debug'
    request.log[level](
      { event: 'request', method, url, status, ms: Math.round(reply.elapsedTime) },
      'request',
    )
  })
  server.get('/healthz', async () => ({ status: 'alive' }))
  server.get('/readyz', async (_request, reply) => {
    const { problems, warnings } = readiness()
    const isReady = problems.length === 0
    return reply.code(isReady ? 200 : 503).send({
      status: isReady ? 'ready' : 'not-ready',
      ...(service && { service, version }),
      ...(isReady ? {} : { problems }),
      ...(warnings.length === 0 ? {} : { warnings }),
    })
  })
  if (metrics !== undefined)
    server.get('/metrics', async (_request, reply) =>
      reply.type(metrics.contentType).send(await metrics.metrics()),
    )
  return server
}

/**
 * Begins to listen; whoever is answered from then on finds everything behind the server running.
 * @returns where, with the port that the system chose for 0
 */
export async function listenOn(
  server: FastifyInstance,
  listen: HostPort,
  begun: AsyncDisposableStack,
): Promise<HostPort> {
  await server.listen(listen)
  begun.defer(async () => {
    await server.close()
  })
  return { host: listen.host, port: portOf(server) }
}

/** The port of a server that listens. */
export function portOf(server: FastifyInstance): number {
  const [address] = server.addresses() as AddressInfo[]
  assert(address !== undefined, 'the server listens')
  return address.port
}

function opensStream({ url = '', headers: { upgrade = '' } }: IncomingMessage): boolean {
  return url.split('?', 1)[0] === ANNOUNCE_STREAM_PATH && upgrade.toLowerCase() === 'websocket'
}

/** Those of the registry's own routes are bounded there. */
/** Fastify answers with its status. */
class TooManyBodiesError extends ShoalError {
  readonly code = 'TOO_MANY_REQUESTS'
  readonly statusCode = 429
  constructor(cause: Error) {
    super(cause.message, { cause })
  }
}

function boundBodies(server: FastifyInstance, { bodies, bodyTimeoutMs }: HttpServerLimits): void {
  const places = new BodyPlaces(bodies)
  server.addHook('preParsing', async ({ url, raw }, _reply, payload) => {
    // A request without a body is not complete either while its headers are read, and may take long to be answered.
    if (raw.complete || !hasBody(raw) || /^\/v2(?:[/?]|$)/.test(url)) return
    const gone = new AbortController()
    const begunAtMs = steadyMs()
    const body = {
      ip: raw.socket.remoteAddress ?? '',
      stalledMs: () => steadyMs() - begunAtMs,
      giveWay: () => raw.destroy(new Error('the body came too slowly, and others waited')),
    }
    const timer = setTimeout(
      () => raw.destroy(new Error(`the body took longer than ${bodyTimeoutMs} ms`)),
      bodyTimeoutMs,
    )
    const end = () => {
      clearTimeout(timer)
      gone.abort(new ClientLeftError())
      places.free(body)
    }
    payload.once('end', end).once('close', end).once('error', end)
    await places.take(body, gone.signal).catch((cause: Error) => {
      throw new TooManyBodiesError(cause)
    })
  })
}

function boundConnections(server: FastifyInstance, limits: ConnectionLimits): void {
  const places = new ConnectionPlaces(limits)
  places.guard(server.server)
  server.addHook('onRequest', (request, reply, done) => {
    const { socket } = request.raw
    if (!places.asksTooMuch(socket)) return done()
    reply.hijack()
    socket.destroy()
  })
  // Node gives a server that listens for upgrades all of them, so this one listens only where somebody takes them.
  server.addHook('onReady', async () => {
    if (server.server.listenerCount('upgrade') > 0)
      server.server.on('upgrade', (_request, socket) => places.release(socket as Socket))
  })
}

function boundAnswers(server: FastifyInstance, init: UnreadAnswersInit): void {
  const unread = new UnreadAnswers(init)
  server.addHook('onSend', (request, reply, payload, done) => {
    const bytes = typeof payload === 'string' || Buffer.isBuffer(payload) ? payload.length : 0
    if (bytes <= ANSWER_COUNTED_BYTES) return done()
    const { socket } = request.raw
    const answer = { ip: socket.remoteAddress ?? '', bytes, cut: () => socket.destroy() }
    if (unread.add(answer, steadyMs())) {
      reply.raw.once('close', () => unread.remove(answer))
      return done()
    }
    for (const name of ['content-length', 'docker-content-digest', 'etag']) reply.removeHeader(name)
    const what = 'too many answers wait to be taken here; try again'
    const refusal = new OciError('TOOMANYREQUESTS', what, { status: 503 })
    reply.code(503).header('retry-after', '1').type('application/json; charset=utf-8')
    done(null, JSON.stringify(refusal.body()))
  })
}
