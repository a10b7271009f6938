/**
 * Several ranges of a blob in one body. Pure but for the bytes, which `read` gives.
 * RFC 9110, 14.6: `multipart/byteranges`. podman asks so for the changed parts of a zstd:chunked layer.
 */
import { randomBytes } from 'node:crypto'
import { type ByteSpan, formatContentRange } from '@shoal/oci'

export interface ByteRanges {
  readonly contentType: string
  /** Length of the whole body. */
  readonly bytes: number
  readonly body: AsyncIterable<Uint8Array>
}

/**
 * @param length of the blob
 * @param partType media type of each part
 */
export function severalRanges(
  ranges: readonly ByteSpan[],
  length: number,
  partType: string,
  read: (range: ByteSpan) => AsyncIterable<Uint8Array>,
): ByteRanges {
  // 120 random bits: no layer holds them, and nobody who makes one can know them.
  const boundary = randomBytes(15).toString('hex')
  const heads = ranges.map((range) =>
    Buffer.from(
      `\r\n--${boundary}\r\nContent-Type: ${partType}\r\nContent-Range: ${formatContentRange(range, length)}\r\n\r\n`,
    ),
  )
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
  const framing = heads.reduce((sum, head) => sum + head.length, tail.length)
  const content = ranges.reduce((sum, { start, end }) => sum + end - start, 0)
  async function* body(): AsyncGenerator<Uint8Array> {
    for (const [index, range] of ranges.entries()) {
      yield heads[index]!
      yield* read(range)
    }
    yield tail
  }
  return { contentType: `multipart/byteranges; boundary=${boundary}`, bytes: framing + content, body: body() }
}
