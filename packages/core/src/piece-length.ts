/**
 * How long the pieces of a blob are. Pure; the rule is part of the info hash, so changing it makes new swarms.
 *
 * Makespan ≈ bytes/link + log₂(nodes) · piece/link wants short pieces; bookkeeping and hashing want few. Between 512 and 2048
 * pieces a blob's last piece is hardly late (9 hops × 1/512 < 2%), and a bitfield has at most 256 bytes.
 *
 * The lengths lie a factor of four apart because `docker push` does not say how long a layer is: a push of unknown
 * length is hashed for every piece length that is still possible, and four candidates is what hashing while the
 * bytes arrive can afford.
 */
import { assert } from './errors.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** Every piece length in use, in bytes, ascending. */
export const PIECE_LENGTHS_BYTES = [64 * KIB, 256 * KIB, MIB, 4 * MIB] as const
export type PieceLengthBytes = (typeof PIECE_LENGTHS_BYTES)[number]

const PIECE_COUNT_AIM = 2048

/** Blobs longer than this many bytes need the next longer piece length; Infinity for the longest. */
export function blobBytesMaxFor(pieceLengthBytes: PieceLengthBytes): number {
  return pieceLengthBytes === PIECE_LENGTHS_BYTES.at(-1)
    ? Number.POSITIVE_INFINITY
    : pieceLengthBytes * PIECE_COUNT_AIM
}

/** The piece length of a blob of `blobBytes` bytes. */
export function pieceLengthFor(blobBytes: number): PieceLengthBytes {
  assert(Number.isSafeInteger(blobBytes) && blobBytes >= 0, 'a blob has a whole number of bytes')
  return PIECE_LENGTHS_BYTES.find((length) => blobBytes <= blobBytesMaxFor(length))!
}
