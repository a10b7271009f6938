/** The HTTP server that a service of Shoal shows: requests in the log, alive and ready, OCI bodies for what fastify refuses. */
import type { IncomingMessage } from 'node:http'
import type { ServiceName } from '@shoal/core'
import { ANNOUNCE_STREAM_PATH } from '@shoal/wire'
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  LogController,
} from 'fastify'
import type { Logger } from 'pino'
import { loggableUrl } from './loggable-url.ts'
import { rewriteMirrorUrl } from './namespace.ts'
import { registryFrameworkErrors } from './plugin.ts'
import { nameRequests } from './request-under-way.ts'
import { schemaController } from './schema-compilers.ts'
import { version } from './version.ts'

export interface HttpServerLimits {
  /** From a connection's or a request's first byte to the end of its headers. */
  readonly headersTimeoutMs: number
  /** For the whole of a small body; those of blobs and manifests have the registry's own limits. */
  readonly bodyTimeoutMs: number
}

const LIMITS: HttpServerLimits = { headersTimeoutMs: 10_000, bodyTimeoutMs: 10_000 }

/**
 * podman asks for up to 1024 ranges of a zstd:chunked layer at once and fails the pull on a 431: with offsets of terabytes they
 * take 30 KiB, and Node allows 16.
 */
const HEAD_BYTES_MAX = 64 * 1024

/**
 * Listens when its owner says so; by then everything behind it runs, so whoever gets an answer from `/readyz` gets a ready
 * service. Closing it cuts the bodies that are under way: clients ask again.
 *
 * @param service what `/readyz` says that this is, with its version, so that nobody takes one for another
 */
export function createHttpServer(
  log: Logger,
  service?: ServiceName,
  limits: HttpServerLimits = LIMITS,
): FastifyInstance {
  const server: FastifyInstance = fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
    frameworkErrors: registryFrameworkErrors,
    rewriteUrl: ({ url = '' }) => rewriteMirrorUrl(url),
    schemaController,
    // Node's own are a minute and, as fastify sets it, for ever: too long for who sends a byte now and then.
    http: {
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: limits.headersTimeoutMs,
      connectionsCheckingInterval: limits.headersTimeoutMs / 4,
      // Clients that offer HTTP/2 with an upgrade (`h2c`) do so on any route, and are answered as if they had not (RFC 9110, 7.8).
      shouldUpgradeCallback: (request) => server.server.listenerCount('upgrade') > 0 && opensStream(request),
    },
  })
  server.server.on('error', (err) => {
    // That it could not listen is heard of by whoever had it listen.
    if (server.server.listening)
      log.warn({ event: 'connection-not-accepted', err }, 'a connection could not be accepted')
  })
  nameRequests(server)
  server.addHook('preParsing', async ({ url, raw }, _reply, payload) => {
    if (raw.complete || /^\/v2(?:[/?]|$)/.test(url)) return
    const timer = setTimeout(
      () => raw.destroy(new Error(`the body took longer than ${limits.bodyTimeoutMs} ms`)),
      limits.bodyTimeoutMs,
    )
    const end = () => clearTimeout(timer)
    payload.once('end', end).once('close', end).once('error', end)
  })
  // What is not expected is the log's business: its message may name files of this machine.
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
  server.get('/readyz', async () => ({ status: 'ready', ...(service && { service, version }) }))
  return server
}

function opensStream({ url = '', headers: { upgrade = '' } }: IncomingMessage): boolean {
  return url.split('?', 1)[0] === ANNOUNCE_STREAM_PATH && upgrade.toLowerCase() === 'websocket'
}
