/** The HTTP server that a service of Shoal shows: requests in the log, alive and ready, OCI bodies for what fastify refuses. */
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Logger } from 'pino'
import { rewriteMirrorUrl } from './namespace.ts'
import { registryFrameworkErrors } from './plugin.ts'
import { schemaController } from './schema-compilers.ts'

/**
 * podman asks for up to 1024 ranges of a zstd:chunked layer at once and fails the pull on a 431: with offsets of terabytes they
 * take 30 KiB, and Node allows 16.
 */
const HEAD_BYTES_MAX = 64 * 1024

/**
 * Listens when its owner says so; by then everything behind it runs, so whoever gets an answer from `/readyz` gets a ready
 * service. Closing it cuts the bodies that are under way: clients ask again.
 */
export function createHttpServer(log: Logger): FastifyInstance {
  const server = fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
    http: { maxHeaderSize: HEAD_BYTES_MAX },
    frameworkErrors: registryFrameworkErrors,
    rewriteUrl: ({ url = '' }) => rewriteMirrorUrl(url),
    schemaController,
  })
  server.addHook('onResponse', async (request, reply) => {
    const { method } = request
    // A registry that cannot set headers shows its secret in the URL.
    const url = request.url.replace(/([?&]secret=)[^&]*/gi, '$1…')
    const status = reply.statusCode
    // Clients' requests tell an operator what happened; those of agents and of Prometheus are too many.
    const level = url.startsWith('/v2/') ? 'info' : 'debug'
    request.log[level](
      { event: 'request', method, url, status, ms: Math.round(reply.elapsedTime) },
      'request',
    )
  })
  server.get('/healthz', async () => ({ status: 'alive' }))
  server.get('/readyz', async () => ({ status: 'ready' }))
  return server
}
