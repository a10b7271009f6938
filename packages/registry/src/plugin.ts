/**
 * The OCI Distribution API under `/v2/`, over one {@link RegistryBackend}. The seeder and the agent register the same
 * plugin; a backend without `push` makes a registry that can only be read.
 *
 * Bodies are streamed both ways and never compressed. Every refusal inside `/v2/`, fastify's own included, has an OCI body.
 */
import { MANIFEST_BYTES_MAX, OciError } from '@shoal/oci'
import { BodyPlaces, type BodyPlacesInit, ClientLeftError } from '@shoal/service'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { RegistryBackend } from './backend.ts'
import { deleteBlob, getBlob, headBlob } from './blob-routes.ts'
import { listRepositories } from './catalog-routes.ts'
import { deleteManifest, getManifest, headManifest, putManifest } from './manifest-routes.ts'
import { inNamespace, rewriteMirrorUrl, withoutOwnHost } from './namespace.ts'
import { sendOciError } from './oci-errors.ts'
import { parseRegistryPath, type RegistryPath } from './path.ts'
import { listReferrers } from './referrer-routes.ts'
import { discardBody } from './request-body.ts'
import { type Places, pushOf, type RegistryLimits, type RouteContext } from './route-context.ts'
import { listTags } from './tag-routes.ts'
import { deleteUpload, getUpload, patchUpload, postUpload, putUpload } from './upload-routes.ts'

export interface RegistryPluginOptions extends Partial<RegistryLimits> {
  readonly backend: RegistryBackend
  readonly uploadPlaces?: Partial<BodyPlacesInit>
  readonly blobPlaces?: Partial<BodyPlacesInit>
  /** Names of the registry itself: what a client asks a mirror of these for has no host in its name here. */
  readonly ownHosts?: readonly string[]
}

const LIMITS: RegistryLimits = {
  // Docker pauses between layers of a push for tens of seconds while it compresses; it never pauses inside one.
  idleTimeoutMs: 120_000,
  manifestBytesMax: MANIFEST_BYTES_MAX,
  tagsMax: 1_000,
  allowDelete: true,
}

/**
 * An upload has some MiB of buffers, into a bucket 24; what one address may not have is for the others. A client whose bytes
 * come at less than 64 KiB/s gives way when all places are taken, and who comes waits two seconds for one: clients try again
 * after a 429.
 */
export const UPLOAD_PLACES: BodyPlacesInit = {
  placesMax: 128,
  placesPerAddressMax: 96,
  stallMs: 1_000,
  patienceMs: 2_000,
}
/** Each may have 4 MiB, and is read as a document when it is whole. */
export const MANIFEST_PLACES: BodyPlacesInit = { ...UPLOAD_PLACES, placesMax: 16, placesPerAddressMax: 12 }
/**
 * A blob on its way to a client has buffers, of 1 MiB where they are few and of 128 KiB where they are many. A node's clients ask for some tens at a time; of 500 agents
 * that fall back to the seeder those that come too many wait, and are sent to at the same rate all together. Clients pause
 * while they unpack: they give way after 10 s, and only to somebody who waits.
 */
export const BLOB_PLACES: BodyPlacesInit = {
  placesMax: 512,
  placesPerAddressMax: 384,
  stallMs: 10_000,
  patienceMs: 30_000,
}

const PREFIX = '/v2'
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'] as const

/** `await server.register(registryPlugin, { backend })` */
export async function registryPlugin(server: FastifyInstance, options: RegistryPluginOptions): Promise<void> {
  const limits: RegistryLimits = {
    idleTimeoutMs: options.idleTimeoutMs ?? LIMITS.idleTimeoutMs,
    manifestBytesMax: options.manifestBytesMax ?? LIMITS.manifestBytesMax,
    tagsMax: options.tagsMax ?? LIMITS.tagsMax,
    allowDelete: options.allowDelete ?? LIMITS.allowDelete,
  }
  const places: Places = {
    uploads: new BodyPlaces({ ...UPLOAD_PLACES, ...options.uploadPlaces }),
    manifests: new BodyPlaces(MANIFEST_PLACES),
    blobs: new BodyPlaces({ ...BLOB_PLACES, ...options.blobPlaces }),
  }
  const handle = (request: FastifyRequest, reply: FastifyReply) =>
    serve(options, limits, places, request, reply)
  await server.register(
    async (v2) => {
      v2.removeAllContentTypeParsers()
      // Bodies are read by the routes, from the socket, as they are needed.
      v2.addContentTypeParser('*', (_request, _payload, done) => done(null))
      v2.addHook('onRequest', async (_request, reply) => {
        reply.headers({
          'docker-distribution-api-version': 'registry/2.0',
          'x-content-type-options': 'nosniff',
        })
      })
      v2.setErrorHandler(refuse)
      // Methods that fastify does not route come here too, and are told that they are not supported.
      v2.setNotFoundHandler(handle)
      for (const url of ['/', '/*']) {
        v2.route({ method: [...METHODS], url, exposeHeadRoute: false, handler: handle })
      }
    },
    { prefix: PREFIX },
  )
}

/** What a server that has the registry's routes must be made with. */
export const registryRouting = { frameworkErrors: registryFrameworkErrors, rewriteUrl: rewriteMirrorUrl }

/**
 * fastify meets a URL that it cannot decode before it knows any plugin: pass this as its `frameworkErrors`, so that
 * `/v2/%zz` has an OCI body too.
 */
function registryFrameworkErrors(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const isRegistry = /^\/v2(?:[/?]|$)/.test(request.raw.url ?? '')
  if (isRegistry)
    sendOciError(request, reply, new OciError('NAME_INVALID', 'the URL cannot be decoded', { cause: error }))
  else
    reply
      .code(error.statusCode ?? 400)
      .send({ statusCode: error.statusCode ?? 400, error: 'Bad Request', code: error.code })
}

async function serve(
  { backend, ownHosts = [] }: RegistryPluginOptions,
  limits: RegistryLimits,
  places: Places,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const [path, query] = splitUrl(rewriteMirrorUrl(request.raw.url ?? ''))
  const signal = abortWithClient(reply)
  const context: RouteContext = { request, reply, backend, limits, places, query, signal }
  const named = inNamespace(parseRegistryPath(path.slice(PREFIX.length)), query.get('ns'))
  await route(context, withoutOwnHost(named, ownHosts))
  return reply
}

async function route(context: RouteContext, path: RegistryPath): Promise<void> {
  const { method } = context.request
  switch (path.kind) {
    case 'base':
      if (method === 'GET' || method === 'HEAD') return answerBase(context)
      throw unsupported(context, 'GET, HEAD')
    case 'catalog':
      if (method === 'GET') return listRepositories(context)
      throw unsupported(context, 'GET')
    case 'tags':
      if (method === 'GET') return listTags(context, path.repository)
      throw unsupported(context, 'GET')
    case 'manifest':
      if (method === 'GET') return getManifest(context, path.repository, path.reference)
      if (method === 'HEAD') return headManifest(context, path.repository, path.reference)
      if (method === 'PUT') return putManifest(context, path.repository, path.reference)
      if (method === 'DELETE') return deleteManifest(context, path.repository, path.reference)
      throw unsupported(context, 'GET, HEAD, PUT, DELETE')
    case 'referrers':
      if (method === 'GET') return listReferrers(context, path.repository, path.digest)
      throw unsupported(context, 'GET')
    case 'blob':
      if (method === 'GET') return getBlob(context, path.repository, path.digest)
      if (method === 'HEAD') return headBlob(context, path.repository, path.digest)
      if (method === 'DELETE') return deleteBlob(context, path.repository, path.digest)
      throw unsupported(context, 'GET, HEAD, DELETE')
    case 'uploads':
      if (method === 'POST') return postUpload(context, path.repository)
      throw unsupported(context, 'POST')
    case 'upload':
      return routeUpload(context, path.repository, path.id)
    case 'unknown':
      throw new OciError('UNSUPPORTED', 'no such endpoint', { status: 404 })
  }
}

function routeUpload(context: RouteContext, repository: string, id: string): Promise<void> {
  pushOf(context)
  switch (context.request.method) {
    case 'PATCH':
      return patchUpload(context, repository, id)
    case 'PUT':
      return putUpload(context, repository, id)
    case 'GET':
      return getUpload(context, repository, id)
    case 'DELETE':
      return deleteUpload(context, repository, id)
    default:
      throw unsupported(context, 'GET, PATCH, PUT, DELETE')
  }
}

function answerBase({ reply }: RouteContext): void {
  reply.type('application/json; charset=utf-8').send('{}')
}

async function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  if (error instanceof ClientLeftError) {
    request.log.debug({ event: 'client-left' }, 'client left before it was answered')
    // For the log alone, and as nginx has it there.
    return reply.code(499).hijack()
  }
  for (const header of ['content-length', 'docker-content-digest', 'etag']) reply.removeHeader(header)
  if (!(await discardBody(request.raw))) reply.header('connection', 'close')
  return sendOciError(request, reply, error)
}

function unsupported({ reply }: RouteContext, allow: string): OciError {
  reply.header('allow', allow)
  return new OciError('UNSUPPORTED', 'the operation is unsupported')
}

function splitUrl(url: string): [path: string, query: URLSearchParams] {
  const mark = url.indexOf('?')
  return mark === -1
    ? [url, new URLSearchParams()]
    : [url.slice(0, mark), new URLSearchParams(url.slice(mark + 1))]
}

function abortWithClient(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new ClientLeftError())
  })
  return controller.signal
}
