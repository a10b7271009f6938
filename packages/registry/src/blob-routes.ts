/** `/v2/<name>/blobs/<digest>`. OCI distribution specification, "Pulling blobs"; ranges by RFC 9110, 14. */
import type { Digest } from '@shoal/core'
import type { BlobStat } from '@shoal/oci'
import { formatContentRange, formatUnsatisfiedRange, MEDIA_TYPES, OciError, parseRange } from '@shoal/oci'
import type { ByteRange } from '@shoal/storage'
import { severalRanges } from './byteranges.ts'
import { sendBody } from './response-body.ts'
import { digestOf, etagOf, isKnownToClient, type RouteContext, removeOf } from './route-context.ts'

/**
 * Until the header is sent, a blob that cannot be had is a 404, and clients turn to another registry within 3 s of asking. Later
 * they think that this one hangs.
 */
const HEADER_WITHIN_MS = 2_900
/** Of a blob on its way: its source has answered already, and whether it will give the blob is known at the end. */
const ARRIVING_HEADER_WITHIN_MS = 500

export async function headBlob(context: RouteContext, repository: string, digestText: string): Promise<void> {
  const stat = await findBlob(context, repository, digestText, 'look')
  if (answerNotModified(context, stat)) return
  context.reply.header('content-length', stat.length).send()
}

export async function getBlob(context: RouteContext, repository: string, digestText: string): Promise<void> {
  const { reply } = context
  const stat = await findBlob(context, repository, digestText, 'pull')
  if (answerNotModified(context, stat)) return
  const { bytes, body } = chooseBody(context, repository, stat)
  reply.header('content-length', bytes)
  if (bytes === 0) {
    reply.send()
    return
  }
  await sendBody(reply, body, {
    bytes,
    headerWithinMs: stat.isArriving === true ? ARRIVING_HEADER_WITHIN_MS : HEADER_WITHIN_MS,
    idleTimeoutMs: context.limits.idleTimeoutMs,
    signal: context.signal,
    places: context.places.blobs,
  })
}

export async function deleteBlob(
  context: RouteContext,
  repository: string,
  digestText: string,
): Promise<void> {
  const digest = digestOf(digestText)
  if (!(await removeOf(context).removeBlob(repository, digest))) throw blobUnknown(digest)
  context.reply.code(202).send()
}

async function findBlob(
  context: RouteContext,
  repository: string,
  digestText: string,
  purpose: 'look' | 'pull',
): Promise<BlobStat> {
  const digest = digestOf(digestText)
  const stat = await context.backend.blobStat(repository, digest, purpose, context.signal)
  if (stat === undefined) throw blobUnknown(digest)
  context.reply.headers({
    'content-type': MEDIA_TYPES.blob,
    'docker-content-digest': stat.digest,
    etag: etagOf(stat.digest),
    'accept-ranges': 'bytes',
  })
  return stat
}

function answerNotModified({ request, reply }: RouteContext, stat: BlobStat): boolean {
  if (!isKnownToClient(request, stat.digest)) return false
  reply.code(304).send()
  return true
}

interface Body {
  readonly bytes: number
  readonly body: AsyncIterable<Uint8Array>
}

/** Sets the status and what it needs. */
function chooseBody(
  { request, reply, backend, signal }: RouteContext,
  repository: string,
  stat: BlobStat,
): Body {
  const read = (range: ByteRange) => backend.readBlob(repository, stat.digest, range, signal)
  const whole = { start: 0, end: stat.length }
  const ifRange = request.headers['if-range']
  const isForThisBlob = ifRange === undefined || ifRange === etagOf(stat.digest)
  const asked = parseRange(isForThisBlob ? request.headers.range : undefined, stat.length)
  if (asked.kind === 'unsatisfiable') {
    reply.header('content-range', formatUnsatisfiedRange(stat.length))
    throw new OciError('RANGE_INVALID', 'the range lies outside the blob', {
      detail: { length: stat.length },
    })
  }
  if (asked.kind === 'whole') return { bytes: stat.length, body: read(whole) }
  const [range] = asked.ranges
  if (asked.ranges.length === 1) {
    reply.code(206).header('content-range', formatContentRange(range, stat.length))
    return { bytes: range.end - range.start, body: read(range) }
  }
  const several = severalRanges(asked.ranges, stat.length, MEDIA_TYPES.blob, read)
  // More bytes than the blob has: the whole is the shorter answer, and RFC 9110, 14.2 allows it.
  if (several.bytes > stat.length) return { bytes: stat.length, body: read(whole) }
  reply.code(206).type(several.contentType)
  return several
}

function blobUnknown(digest: Digest): OciError {
  return new OciError('BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest } })
}
