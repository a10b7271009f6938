/** Moves a blob's bytes: exactly as many as were promised, or it throws. */
import { formatContentRange } from '@shoal/oci'
import type { ByteRange } from '@shoal/storage'
import type { UpstreamAnswer } from './connections.ts'
import { UpstreamInvalidError, UpstreamUnavailableError } from './errors.ts'

export interface BlobSpan {
  /** Of the whole blob. */
  readonly length: number
  /** Bytes of the answer in front of what was asked for. */
  readonly skip: number
  /** Bytes to give. */
  readonly bytes: number
  /** Bytes of the answer behind those. */
  readonly follow: number
}

/**
 * Which part of the answer was asked for.
 * @throws UpstreamInvalidError when the answer does not say what it is
 */
export function spanOf(upstream: string, answer: UpstreamAnswer, range: ByteRange | undefined): BlobSpan {
  if (answer.status === 206 && range !== undefined) return partialSpan(upstream, answer, range)
  const text = answer.header('content-length') ?? ''
  if (answer.status !== 200 || !/^[0-9]{1,15}$/.test(text)) {
    throw new UpstreamInvalidError(upstream, `a blob came with status ${answer.status} and no usable length`)
  }
  const length = Number(text)
  if (range === undefined) return { length, skip: 0, bytes: length, follow: 0 }
  // A server may ignore ranges (RFC 9110, 14.2); the bytes in front are then read and thrown away.
  if (range.start >= length && length > 0) throw outside(upstream, range)
  const end = Math.min(range.end, length)
  return { length, skip: range.start, bytes: Math.max(0, end - range.start), follow: length - end }
}

export function outside(upstream: string, { start, end }: ByteRange): UpstreamInvalidError {
  return new UpstreamInvalidError(upstream, `the bytes ${start}-${end - 1} lie outside the blob that it has`)
}

function partialSpan(upstream: string, answer: UpstreamAnswer, range: ByteRange): BlobSpan {
  const text = answer.header('content-range') ?? ''
  const length = Number(/^bytes [0-9]{1,15}-[0-9]{1,15}\/([0-9]{1,15})$/.exec(text)?.[1])
  const end = Math.min(range.end, length)
  // Anything but the very bytes would be kept as others.
  if (Number.isNaN(length) || text !== formatContentRange({ start: range.start, end }, length)) {
    throw new UpstreamInvalidError(
      upstream,
      `it was asked for bytes ${range.start}-${range.end - 1} and sent others`,
    )
  }
  return { length, skip: 0, bytes: end - range.start, follow: 0 }
}

/**
 * @param failure what to throw instead of an error of the transport
 * @throws UpstreamUnavailableError when the body ends early
 */
export async function* blobBody(
  upstream: string,
  answer: UpstreamAnswer,
  { skip, bytes, follow }: BlobSpan,
  failure: (error: unknown, givenBytes: number) => unknown,
): AsyncGenerator<Uint8Array> {
  let seen = 0
  const end = skip + bytes
  try {
    for await (const chunk of answer.body) {
      const wanted = chunk.subarray(Math.max(0, skip - seen), end - seen)
      seen += chunk.length
      if (wanted.length > 0) yield wanted
      // Left only when more would come: that costs the connection.
      if (seen > end || (seen === end && follow > 0)) return
    }
  } catch (error) {
    throw failure(error, Math.max(0, seen - skip))
  }
  if (seen < end) {
    throw new UpstreamUnavailableError(upstream, `a blob ended after ${seen - skip} of ${bytes} bytes`)
  }
}
