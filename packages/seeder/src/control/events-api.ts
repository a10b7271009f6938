/**
 * Where registries tell of pushes. Answered at once: what was told is written down first and worked off later, whatever
 * happens to this process.
 */
import { looksLikeHost } from '@shoal/oci'
import {
  assertAuthentic,
  detectFormat,
  type EventQueue,
  parseTrigger,
  TriggerForbiddenError,
  TriggerInvalidError,
  TriggerQueueFullError,
  TriggerSecretUnsetError,
} from '@shoal/triggers'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { type SecretFile, SecretFileError } from './secret-file.ts'

export const EVENTS_PATH = '/api/v1/events'

export interface EventsApiParts {
  readonly queue: Pick<EventQueue, 'add'>
  readonly secrets: SecretFile
  readonly log: Logger
  readonly nowMs: () => number
  readonly onEvents: (format: string, outcome: 'added' | 'known' | 'outdated', count: number) => void
}

/** A full queue is emptied at some events a second. */
export const QUEUE_FULL_RETRY_SECONDS = 30
const BODY_BYTES_MAX = 1024 * 1024
const PARAMETERS = ['format', 'secret', 'registry'] as const

interface EventsQuery {
  readonly format?: string
  readonly secret?: string
  /** Of which registry the sender speaks, where it does not say so itself. */
  readonly registry?: string
}

export async function eventsApi(server: FastifyInstance, parts: EventsApiParts): Promise<void> {
  await server.register(async (api) => {
    api.removeAllContentTypeParsers()
    api.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: BODY_BYTES_MAX }, (_request, body, done) =>
      done(null, body),
    )
    api.post<{ Querystring: EventsQuery; Body: Buffer | null }>(EVENTS_PATH, async (request, reply) => {
      const { headers, query } = request
      for (const name of PARAMETERS)
        if (Array.isArray(query[name])) throw new TriggerInvalidError('unknown', `?${name}=`, 'comes twice')
      const rawBody = request.body ?? Buffer.alloc(0)
      const body = parseJson(rawBody)
      const format = detectFormat(body, headers, query.format)
      assertAuthentic(format, { headers, querySecret: query.secret, rawBody }, await parts.secrets.secrets())
      if (query.registry !== undefined && !looksLikeHost(query.registry))
        throw new TriggerInvalidError(format, '?registry=', 'is no host')
      const events = parseTrigger(format, body, { headers, receivedAtMs: parts.nowMs() })
      const { registry } = query
      const told = events.map((event) =>
        registry === undefined ? event : { ...event, registryHost: registry },
      )
      const outcome = await parts.queue.add(told)
      for (const kind of ['added', 'known', 'outdated'] as const) parts.onEvents(format, kind, outcome[kind])
      parts.log.info({ event: 'events-received', format, ...outcome }, 'told of pushes')
      return reply.code(202).send(outcome)
    })
    api.setErrorHandler((error, request, reply) => {
      if (error instanceof SecretFileError) {
        // Nobody has shown a secret yet, so an error must not tell where the secrets lie.
        request.log.error({ event: 'events-refused', err: error }, 'the secrets cannot be read')
        return reply.code(500).send({ code: error.code, message: 'the secrets cannot be read' })
      }
      const status = statusOf(error)
      if (status === undefined) throw error
      const { code, message } = error as TriggerInvalidError
      request.log.warn({ event: 'events-refused', code }, 'not told of pushes')
      if (status === 503) reply.header('retry-after', QUEUE_FULL_RETRY_SECONDS)
      return reply.code(status).send({ code, message })
    })
  })
}

function statusOf(error: unknown): number | undefined {
  if (error instanceof TriggerInvalidError) return 400
  if (error instanceof TriggerForbiddenError || error instanceof TriggerSecretUnsetError) return 403
  return error instanceof TriggerQueueFullError ? 503 : undefined
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw new TriggerInvalidError('unknown', 'the body', 'is not JSON')
  }
}
