/** Moves a blob's bytes: exactly as many as were promised, or it throws. */
import { formatContentRange } from '@shoal/oci'
import type { ByteRange } from '@shoal/storage'
import type { UpstreamAnswer } from './connections.ts'
import { UpstreamInvalidError, UpstreamUnavailableError } from './errors.ts'

export interface BlobSpan {
  /** Of the whole blob; undefined where nobody has said it. */
  readonly length: number | undefined
  /** Bytes of the answer in front of what was asked for. */
  readonly skip: number
  /** Bytes to give; of a blob whose length nobody has said, the most that it may have. */
  readonly bytes: number
  /** Bytes of the answer behind those. */
  readonly follow: number
}

/** What whoever asks knows of a blob whose answer does not say how long it is. */
export interface UnsaidLength {
  /** From a manifest. */
  readonly length: number | undefined
  /** Where not even that is known. */
  readonly bytesMax: number
}

/**
 * Which part of the answer was asked for.
 * @throws UpstreamInvalidError when the answer does not say what it is
 */
export function spanOf(
  upstream: string,
  answer: UpstreamAnswer,
  range: ByteRange | undefined,
  unsaid: UnsaidLength,
): BlobSpan {
  if (answer.status === 206 && range !== undefined) return partialSpan(upstream, answer, range, unsaid)
  const text = answer.header('content-length')
  if (answer.status !== 200 || (text !== undefined && !/^[0-9]{1,15}$/.test(text))) {
    throw new UpstreamInvalidError(upstream, `a blob came with status ${answer.status} and no usable length`)
  }
  // A chunked body says only at its end that it is whole (goharbor/harbor#23373).
  const length = text === undefined ? unsaid.length : Number(text)
  if (length === undefined) {
    if (range === undefined) return { length, skip: 0, bytes: unsaid.bytesMax, follow: 0 }
    return { length, skip: range.start, bytes: range.end - range.start, follow: Number.POSITIVE_INFINITY }
  }
  if (range === undefined) return { length, skip: 0, bytes: length, follow: 0 }
  // A server may ignore ranges (RFC 9110, 14.2); the bytes in front are then read and thrown away.
  if (range.start >= length && length > 0) throw outside(upstream, range)
  const end = Math.min(range.end, length)
  return { length, skip: range.start, bytes: Math.max(0, end - range.start), follow: length - end }
}

function outside(upstream: string, { start, end }: ByteRange): UpstreamInvalidError {
  return new UpstreamInvalidError(upstream, `the bytes ${start}-${end - 1} lie outside the blob that it has`)
}

function partialSpan(
  upstream: string,
  answer: UpstreamAnswer,
  range: ByteRange,
  unsaid: UnsaidLength,
): BlobSpan {
  // RFC 9110, 14.4: whoever does not know the length says `*`.
  const text = (answer.header('content-range') ?? '').replace(/\/\*$/, `/${unsaid.length}`)
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
 * @throws UpstreamUnavailableError when the body ends early; UpstreamInvalidError when it does not end where it should
 */
export async function* blobBody(
  upstream: string,
  answer: UpstreamAnswer,
  { length, skip, bytes, follow }: BlobSpan,
  failure: (error: unknown, givenBytes: number) => unknown,
): AsyncGenerator<Uint8Array> {
  let seen = 0
  const end = skip + bytes
  try {
    for await (const chunk of answer.body) {
      const wanted = chunk.subarray(Math.max(0, skip - seen), end - seen)
      seen += chunk.length
      // Also where nothing of it is wanted: whoever reads sees that bytes come.
      yield wanted
      // Broken off only when more would come, because that costs the connection.
      if (seen === end && follow > 0) return
      if (seen <= end) continue
      if (follow > 0) return
      throw new UpstreamInvalidError(upstream, `a blob has more than the ${end} bytes that it may have`)
    }
  } catch (error) {
    throw failure(error, Math.max(0, seen - skip))
  }
  // Where nobody has said the length, the blob ends where its body does.
  if (seen < end && length !== undefined) {
    throw new UpstreamUnavailableError(upstream, `a blob ended after ${seen - skip} of ${bytes} bytes`)
  }
}
