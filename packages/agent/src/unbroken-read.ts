/**
 * A body that goes on where it broke: what was given stays given, and the rest is read again from wherever it can be had. How often
 * is bounded by the bytes that came between, so that a blob which breaks at one place for ever is cut.
 */
import type { ByteRange } from '@shoal/storage'

/** Breaks without a byte between them. */
const BREAKS_MAX = 3

/**
 * @param read gives the bytes of a range, from the beginning, and may break off
 * @param mayGoOn whether it is worth another attempt after this error
 */
export async function* unbrokenRead(
  range: ByteRange,
  read: (range: ByteRange) => AsyncIterable<Uint8Array>,
  mayGoOn: (error: unknown) => boolean,
): AsyncGenerator<Uint8Array, void, undefined> {
  let { start } = range
  for (let breaks = 0; ; ) {
    try {
      for await (const chunk of read({ start, end: range.end })) {
        breaks = 0
        start += chunk.length
        yield chunk
      }
      return
    } catch (error) {
      if (++breaks >= BREAKS_MAX || start >= range.end || !mayGoOn(error)) throw error
    }
  }
}
