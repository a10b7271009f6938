/** `/v2/<name>/blobs/<digest>`. OCI distribution specification, "Pulling blobs"; ranges by RFC 9110, 14. */
import { formatContentRange, formatUnsatisfiedRange, MEDIA_TYPES, OciError, parseRange } from '@shoal/oci'
import type { ByteRange } from '@shoal/storage'
import type { BlobStat } from './backend.ts'
import { digestOf, type Exchange, etagOf, isKnownToClient } from './exchange.ts'
import { sendBody } from './response-body.ts'

export async function headBlob(exchange: Exchange, repository: string, digestText: string): Promise<void> {
  const stat = await findBlob(exchange, repository, digestText)
  if (answerNotModified(exchange, stat)) return
  exchange.reply.header('content-length', stat.length).send()
}

export async function getBlob(exchange: Exchange, repository: string, digestText: string): Promise<void> {
  const { reply } = exchange
  const stat = await findBlob(exchange, repository, digestText)
  if (answerNotModified(exchange, stat)) return
  const range = chooseRange(exchange, stat)
  const bytes = range.end - range.start
  reply.header('content-length', bytes)
  if (bytes === 0) {
    reply.send()
    return
  }
  const body = exchange.backend.readBlob(repository, stat.digest, range, exchange.signal)
  await sendBody(reply, body, {
    bytes,
    idleTimeoutMs: exchange.limits.idleTimeoutMs,
    signal: exchange.signal,
  })
}

async function findBlob(exchange: Exchange, repository: string, digestText: string): Promise<BlobStat> {
  const digest = digestOf(digestText)
  const stat = await exchange.backend.blobStat(repository, digest, exchange.signal)
  if (stat === undefined)
    throw new OciError('BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest } })
  exchange.reply.headers({
    'content-type': MEDIA_TYPES.blob,
    'docker-content-digest': stat.digest,
    etag: etagOf(stat.digest),
    'accept-ranges': 'bytes',
  })
  return stat
}

function answerNotModified({ request, reply }: Exchange, stat: BlobStat): boolean {
  if (!isKnownToClient(request, stat.digest)) return false
  reply.code(304).send()
  return true
}

/** Sets status and `Content-Range`. Several ranges are answered with the whole, which RFC 9110, 14.2 allows. */
function chooseRange({ request, reply }: Exchange, stat: BlobStat): ByteRange {
  const ifRange = request.headers['if-range']
  const isForThisBlob = ifRange === undefined || ifRange === etagOf(stat.digest)
  const asked = parseRange(isForThisBlob ? request.headers.range : undefined, stat.length)
  if (asked.kind === 'unsatisfiable') {
    reply.header('content-range', formatUnsatisfiedRange(stat.length))
    throw new OciError('RANGE_INVALID', 'the range lies outside the blob', {
      detail: { length: stat.length },
    })
  }
  if (asked.kind === 'whole' || asked.ranges.length > 1) return { start: 0, end: stat.length }
  const [range] = asked.ranges
  reply.code(206).header('content-range', formatContentRange(range, stat.length))
  return range
}
