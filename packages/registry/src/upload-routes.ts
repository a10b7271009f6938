/**
 * `/v2/<name>/blobs/uploads/…`. OCI distribution specification, "Pushing blobs": in one POST, in POST and PUT, in chunks,
 * or mounted from another repository.
 */
import {
  DIGEST_ALGORITHMS,
  type Digest,
  type DigestAlgorithm,
  digestAlgorithm,
  tryParseDigest,
} from '@shoal/core'
import type { BlobStat } from '@shoal/oci'
import { type ByteSpan, formatUploadRange, isRepositoryName, OciError, parseUploadRange } from '@shoal/oci'
import { announcedBytes, hasBody, inPlace } from '@shoal/service'
import type { RegistryPush, UploadChunk, UploadStatus } from './backend.ts'
import { RequestBody } from './request-body.ts'
import { digestOf, pushOf, type RouteContext } from './route-context.ts'

export async function postUpload(context: RouteContext, repository: string): Promise<void> {
  const push = pushOf(context)
  if (context.query.has('digest')) return postWholeBlob(context, push, repository)
  if (context.query.has('mount')) {
    const mounted = await mount(context, push, repository)
    if (mounted !== undefined) return answerCreated(context, repository, mounted)
  }
  const algorithm = algorithmOf(context.query.get('digest-algorithm'))
  const from = context.request.raw.socket.remoteAddress ?? ''
  const status = await push.startUpload(repository, { from, ...(algorithm !== undefined && { algorithm }) })
  answerStatus(context, repository, status, 202)
}

export async function patchUpload(context: RouteContext, repository: string, id: string): Promise<void> {
  const push = pushOf(context)
  const appended = await receiving(context, (body) => append(context, push, repository, id, body, {}))
  answerStatus(context, repository, appended, 202)
}

export async function putUpload(context: RouteContext, repository: string, id: string): Promise<void> {
  const push = pushOf(context)
  const digest = digestOf(context.query.get('digest'))
  const stat = await receiving(context, async (body) => {
    if (hasBody(context.request.raw)) {
      const { received } = await findUpload(push, repository, id)
      const announced = announcedBytes(context.request.raw)
      await append(context, push, repository, id, body, {
        algorithm: digestAlgorithm(digest),
        digest,
        isLast: true,
        ...(announced === undefined ? {} : { blobBytes: received + announced }),
      })
    }
    return push.finishUpload(repository, id, digest)
  })
  answerCreated(context, repository, stat.digest)
}

export async function getUpload(context: RouteContext, repository: string, id: string): Promise<void> {
  answerStatus(context, repository, await findUpload(pushOf(context), repository, id), 204)
}

export async function deleteUpload(context: RouteContext, repository: string, id: string): Promise<void> {
  if (!(await pushOf(context).cancelUpload(repository, id))) throw uploadUnknown(id)
  context.reply.code(204).send()
}

async function postWholeBlob(context: RouteContext, push: RegistryPush, repository: string): Promise<void> {
  const { raw } = context.request
  const digest = digestOf(context.query.get('digest'))
  const stat = await receiving(context, (body) =>
    hasBody(raw)
      ? storeWholeBlob(push, repository, digest, body, announcedBytes(raw))
      : storeWholeBlob(push, repository, digest, undefined, 0),
  )
  answerCreated(context, repository, stat.digest)
}

async function storeWholeBlob(
  push: RegistryPush,
  repository: string,
  digest: Digest,
  body: RequestBody | undefined,
  bytesExpected: number | undefined,
): Promise<BlobStat> {
  const status = await push.startUpload(repository, {
    algorithm: digestAlgorithm(digest),
    isOneRequest: true,
    ...(bytesExpected === undefined ? {} : { bytesExpected }),
  })
  try {
    if (body !== undefined) await push.appendUpload(repository, status.id, body, { digest })
    return await push.finishUpload(repository, status.id, digest)
  } catch (error) {
    // Nobody was told the upload's id, so nobody can continue it.
    await push.cancelUpload(repository, status.id)
    throw error
  }
}

/** Works with the request's body while it has a place among those that are received. */
function receiving<T>(
  { request, limits, places, signal }: RouteContext,
  work: (body: RequestBody) => Promise<T>,
): Promise<T> {
  const body = new RequestBody(request.raw, limits.idleTimeoutMs)
  return inPlace(places.uploads, body, signal, () => work(body))
}

/** A mount that cannot be done is no error: the client is offered an upload instead. */
async function mount(
  { query }: RouteContext,
  push: RegistryPush,
  repository: string,
): Promise<Digest | undefined> {
  const digest = tryParseDigest(query.get('mount') ?? '')
  const from = query.get('from') ?? undefined
  if (digest === undefined || (from !== undefined && !isRepositoryName(from))) return undefined
  return (await push.mountBlob(repository, digest, from))?.digest
}

async function append(
  context: RouteContext,
  push: RegistryPush,
  repository: string,
  id: string,
  body: RequestBody,
  last: Omit<UploadChunk, 'startAt'>,
): Promise<UploadStatus> {
  try {
    const span = contentRangeOf(context)
    const exact = span === undefined ? body : exactly(body, span.end - span.start)
    return await push.appendUpload(repository, id, exact, {
      ...last,
      from: body.ip,
      ...(span === undefined ? {} : { startAt: span.start }),
    })
  } catch (error) {
    if (error instanceof OciError && error.code === 'RANGE_INVALID') {
      const now = await push.uploadStatus(repository, id)
      if (now !== undefined) context.reply.headers(statusHeaders(repository, now))
    }
    throw error
  }
}

function contentRangeOf({ request }: RouteContext): ByteSpan | undefined {
  const header = request.headers['content-range']
  if (header === undefined) return undefined
  const span = parseUploadRange(header)
  if (span === undefined) throw new OciError('RANGE_INVALID', 'Content-Range is not start-end')
  const announced = announcedBytes(request.raw)
  if (announced !== undefined && announced !== span.end - span.start) {
    throw new OciError('SIZE_INVALID', 'Content-Range and Content-Length contradict each other')
  }
  return span
}

/** A chunk without a length must still be as long as its Content-Range says. */
async function* exactly(body: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let received = 0
  const mismatch = () => new OciError('SIZE_INVALID', 'the chunk is not as long as its Content-Range')
  for await (const part of body) {
    received += part.length
    if (received > bytes) throw mismatch()
    yield part
  }
  if (received < bytes) throw mismatch()
}

async function findUpload(push: RegistryPush, repository: string, id: string): Promise<UploadStatus> {
  const status = await push.uploadStatus(repository, id)
  if (status === undefined) throw uploadUnknown(id)
  return status
}

function algorithmOf(text: string | null): DigestAlgorithm | undefined {
  if (text === null) return undefined
  const algorithm = DIGEST_ALGORITHMS.find((known) => known === text)
  if (algorithm === undefined) throw new OciError('DIGEST_INVALID', 'the digest algorithm is not supported')
  return algorithm
}

function answerStatus(
  { reply }: RouteContext,
  repository: string,
  status: UploadStatus,
  code: 202 | 204,
): void {
  reply.code(code).headers(statusHeaders(repository, status)).send()
}

function statusHeaders(repository: string, status: UploadStatus): Record<string, string> {
  return {
    location: `/v2/${repository}/blobs/uploads/${status.id}`,
    range: formatUploadRange(status.received),
    'docker-upload-uuid': status.id,
  }
}

function answerCreated({ reply }: RouteContext, repository: string, digest: Digest): void {
  reply
    .code(201)
    .headers({ location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest })
    .send()
}

function uploadUnknown(id: string): OciError {
  return new OciError('BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry', {
    detail: { id: id.slice(0, 128) },
  })
}
