/** Cuts a stream of a blob's bytes into its pieces. */
import { type Metainfo, pieceBytes } from '@shoal/core'

/**
 * @param indexes neighbouring pieces, ascending
 * @param body the bytes from the first piece's first to the last piece's last; what follows is ignored
 * @returns each whole piece; its bytes are overwritten when the next one is asked for
 */
export async function* cutPieces(
  metainfo: Metainfo,
  indexes: readonly number[],
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ readonly index: number; readonly bytes: Uint8Array }, void, undefined> {
  const buffer = Buffer.allocUnsafe(Math.min(metainfo.pieceLength, metainfo.length))
  let position = 0
  let filled = 0
  for await (const chunk of body) {
    for (let taken = 0; taken < chunk.length; ) {
      const index = indexes[position]
      if (index === undefined) return
      const length = pieceBytes(metainfo, index)
      const part = chunk.subarray(taken, taken + length - filled)
      buffer.set(part, filled)
      filled += part.length
      taken += part.length
      if (filled < length) continue
      yield { index, bytes: buffer.subarray(0, length) }
      position++
      filled = 0
    }
  }
}

/** The bytes of the blob that neighbouring pieces cover. */
export function rangeOfPieces(
  metainfo: Metainfo,
  indexes: readonly number[],
): { start: number; end: number } {
  const [first = 0] = indexes
  const last = indexes.at(-1) ?? first
  return {
    start: first * metainfo.pieceLength,
    end: last * metainfo.pieceLength + pieceBytes(metainfo, last),
  }
}
