/**
 * What an operator and CI ask of a seeder: publish, collect garbage, and be told of a push elsewhere. Whoever controls shows
 * the token; a registry that tells of a push shows one of the secrets it was given.
 */
import { ShoalError } from '@shoal/core'
import type { ImageStore } from '@shoal/registry'
import { isSameSecret } from '@shoal/service'
import { TriggerInvalidError, TriggerQueueFullError } from '@shoal/triggers'
import {
  CONTROL_BODY_BYTES_MAX,
  ControlMessageInvalidError,
  decodePublishRequest,
  encodePublishLine,
  encodeScrubLine,
  GARBAGE_PATH,
  PUBLISH_LINES_MEDIA_TYPE,
  PUBLISH_PATH,
  type PublishLine,
  type PublishRequest,
  SCRUB_PATH,
  type ScrubLine,
} from '@shoal/wire'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { PublishError } from '../publishing/errors.ts'
import type { Publisher, PublishWish } from '../publishing/publisher.ts'
import { WarmSelectorInvalidError } from '../publishing/warm-selector.ts'
import { QUEUE_FULL_RETRY_SECONDS } from './events-api.ts'
import { type SecretFile, SecretFileError } from './secret-file.ts'

export interface ControlApiParts {
  readonly images: Pick<ImageStore, 'collectGarbage' | 'scrub'>
  readonly publisher: Pick<Publisher, 'publish'>
  /** Takes what nobody waits for. */
  readonly enqueue: (wish: PublishWish) => Promise<void>
  readonly token: SecretFile
  readonly log: Logger
}

const FAILED = 'it failed; the seeder’s log says why'

/** A client that hears nothing for a minute gives up. */
const KEEP_ALIVE_MS = 15_000
/** Images of one request that are worked upon at once; each has its layers at once. */
const IMAGES_AT_ONCE = 2

export async function controlApi(server: FastifyInstance, parts: ControlApiParts): Promise<void> {
  await server.register(async (api) => {
    api.removeAllContentTypeParsers()
    api.addContentTypeParser(
      '*',
      { parseAs: 'string', bodyLimit: CONTROL_BODY_BYTES_MAX },
      (_request, body, done) => done(null, body),
    )
    api.addHook('onRequest', (request, reply) => authorize(parts.token, request, reply))
    api.post<{ Querystring: GarbageQuery }>(GARBAGE_PATH, async (request, reply) => {
      const { dryRun, untaggedForMs } = request.query
      if (untaggedForMs !== undefined && !/^[0-9]{1,15}$/.test(untaggedForMs))
        return reply
          .code(400)
          .send({ code: 'REQUEST_INVALID', message: 'untaggedForMs is no number of milliseconds' })
      const outcome = await parts.images.collectGarbage({
        isDryRun: dryRun === 'true',
        ...(untaggedForMs === undefined ? {} : { untaggedForMs: Number(untaggedForMs) }),
      })
      if (outcome.kind === 'done') return reply.send(outcome.report)
      return reply.code(409).send({
        code: 'GC_BUSY',
        message:
          'a collection of garbage goes on; try again when it has ended, or in two minutes where its seeder was killed',
      })
    })
    let isScrubbing = false
    api.post(SCRUB_PATH, async (_request, reply) => {
      if (isScrubbing)
        return reply
          .code(409)
          .send({ code: 'SCRUB_BUSY', message: 'a scrub goes on; try again when it has ended' })
      isScrubbing = true
      return scrubNow(parts, reply).finally(() => {
        isScrubbing = false
      })
    })
    api.post<{ Body: string }>(PUBLISH_PATH, async (request, reply) => {
      let wanted: PublishRequest
      try {
        wanted = decodePublishRequest(request.body ?? '')
      } catch (error) {
        if (!(error instanceof ControlMessageInvalidError)) throw error
        return reply.code(400).send({ code: 'REQUEST_INVALID', message: error.message })
      }
      const wishes = wanted.references.map((reference) => ({ ...wanted, reference, isPinned: true }))
      if (wanted.wait) return publishNow(parts, wishes, reply)
      for (const wish of wishes) await parts.enqueue(wish)
      return reply.code(202).send({ accepted: wanted.references })
    })
    api.setErrorHandler((error: Error & { readonly statusCode?: number }, request, reply) => {
      const status = statusOf(error)
      const level = status < 500 ? 'warn' : 'error'
      request.log[level]({ event: 'control-refused', err: error }, 'control request failed')
      if (status === 503) reply.header('retry-after', QUEUE_FULL_RETRY_SECONDS)
      // Nobody has shown a secret yet, so an error must not tell where the secrets lie.
      const mayBeTold = error instanceof ShoalError ? !(error instanceof SecretFileError) : status < 500
      const code = error instanceof ShoalError ? error.code : status < 500 ? 'REQUEST_INVALID' : 'UNKNOWN'
      return reply.code(status).send({ code, message: mayBeTold ? error.message : FAILED })
    })
  })
}

/** What the one who asks can do something about is theirs; the rest is ours. */
function statusOf(error: Error & { readonly statusCode?: number }): number {
  if (error instanceof TriggerQueueFullError) return 503
  const isTheirs = [PublishError, WarmSelectorInvalidError, TriggerInvalidError].some(
    (known) => error instanceof known,
  )
  if (isTheirs) return 400
  const { statusCode = 500 } = error instanceof ShoalError ? {} : error
  return statusCode
}

interface GarbageQuery {
  readonly dryRun?: string
  readonly untaggedForMs?: string
}

/** Tells how far it is, and ends with what it found. It ends as well when the client leaves: it reads everything. */
async function scrubNow({ images, log }: ControlApiParts, reply: FastifyReply): Promise<FastifyReply> {
  reply.hijack()
  const { raw } = reply
  raw.on('error', () => {})
  raw.writeHead(200, { 'content-type': PUBLISH_LINES_MEDIA_TYPE })
  raw.flushHeaders()
  const leaving = new AbortController()
  raw.once('close', () => leaving.abort(new Error('the client left')))
  const tell = (line: ScrubLine) => raw.destroyed || raw.write(`${encodeScrubLine(line)}\n`)
  let progress = { blobs: 0, bytes: 0 }
  const alive = setInterval(() => tell({ type: 'progress', ...progress }), KEEP_ALIVE_MS)
  try {
    const report = await images.scrub({
      signal: leaving.signal,
      onProgress: (blobs, bytes) => {
        progress = { blobs, bytes }
      },
    })
    const { damaged, ...counts } = report
    for (const { repositories, ...found } of damaged)
      tell({ type: 'damaged', ...found, repositories: [...repositories] })
    tell({ type: 'end', ...counts })
  } catch (error) {
    if (!leaving.signal.aborted) log.error({ event: 'scrub-failed', err: error }, 'the scrub failed')
    tell({ type: 'failed', code: error instanceof ShoalError ? error.code : 'UNKNOWN', message: FAILED })
  } finally {
    clearInterval(alive)
  }
  raw.end()
  return reply
}

/** Answers line by line what happens, and ends with how it ended. The seeder goes on when the client leaves. */
async function publishNow(
  { publisher, log }: ControlApiParts,
  wishes: readonly PublishWish[],
  reply: FastifyReply,
): Promise<FastifyReply> {
  reply.hijack()
  const { raw } = reply
  raw.on('error', () => {})
  raw.writeHead(200, { 'content-type': PUBLISH_LINES_MEDIA_TYPE })
  // The headers go at once: the client learns that its request was taken before there is anything to tell.
  raw.flushHeaders()
  const tell = (line: PublishLine) => {
    // Who reads slowly hears less often how far a layer is, and of everything else all the same.
    const isPassing = line.type === 'layer' && (line.state === 'waiting' || line.state === 'copying')
    if (raw.destroyed || (isPassing && raw.writableNeedDrain)) return
    raw.write(`${encodePublishLine(line)}\n`)
  }
  const alive = setInterval(() => raw.destroyed || raw.write('\n'), KEEP_ALIVE_MS)
  // Copying goes on for the next who asks; nobody is left to hear of nodes that warm.
  const leaving = new AbortController()
  raw.once('close', () => leaving.abort(new Error('the client left')))
  let published = 0
  let failed = 0
  const work = wishes.values()
  const worker = async () => {
    for (const wish of work) {
      const { reference } = wish
      try {
        const { name: _, ...done } = await publisher.publish(wish, tell, leaving.signal)
        tell({ type: 'published', reference, ...done })
        published++
      } catch (error) {
        log.warn({ event: 'publish-failed', reference, err: error }, 'image not published')
        const code = error instanceof ShoalError ? error.code : 'UNKNOWN'
        const message = error instanceof ShoalError ? error.message : FAILED
        tell({ type: 'failed', reference, code, message })
        failed++
      }
    }
  }
  await Promise.all(Array.from({ length: IMAGES_AT_ONCE }, worker))
  clearInterval(alive)
  tell({ type: 'end', published, failed })
  raw.end()
  return reply
}

async function authorize(token: SecretFile, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const tokens = await token.secrets()
  if (tokens.length === 0) {
    return reply.code(403).send({
      code: 'API_TOKEN_UNSET',
      message: 'this seeder has no token for control requests; set apiTokenFile',
    })
  }
  const given = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? ''
  // Every one is compared, even after a match, so that the time tells nothing.
  const isRight = tokens.map((known) => isSameSecret(given, known)).includes(true)
  if (isRight) return undefined
  return reply
    .code(401)
    .header('www-authenticate', 'Bearer')
    .send({ code: 'API_TOKEN_INVALID', message: 'the token is not the seeder’s' })
}
