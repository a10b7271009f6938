/**
 * What a blob's torrent says: length, pieces and their hashes. Pure: info hashes are computed by whoever has SHA-1.
 *
 * BEP 3 single-file metainfo with `private=1` (BEP 27), deterministic in the blob's bytes: the same blob has the same
 * info hash everywhere. The SHA-256 of every piece stands beside the SHA-1 pieces under the key `shoal.pieces.sha256`;
 * it enters the info hash, so whoever trusts the info hash may trust it.
 */
import { type Bencoded, bdecode, bencode } from './bencode.ts'
import { asciiBytes } from './bytes.ts'
import { type Digest, digestAlgorithm, digestHex, tryParseDigest } from './digest.ts'
import { assert, ShoalError } from './errors.ts'
import { PIECE_LENGTHS_BYTES, pieceLengthFor } from './piece-length.ts'

const SHA1_BYTES = 20
const SHA256_BYTES = 32
const PIECES_SHA256_KEY = 'shoal.pieces.sha256'

/** Enough for a blob of 256 GiB; refuses absurd sizes before anything is built from them. */
export const METAINFO_BYTES_MAX = 4 * 1024 * 1024
const NAME_BYTES_MAX = 255

export interface Metainfo {
  readonly digest: Digest
  /** Bytes of the blob; may be 0, then there are no pieces. */
  readonly length: number
  readonly pieceLength: number
  /** SHA-1 of each piece, 20 bytes each, one after the other: BEP 3's `pieces`. */
  readonly piecesSha1: Uint8Array
  /** SHA-256 of each piece, 32 bytes each, one after the other. */
  readonly piecesSha256: Uint8Array
}

export class MetainfoInvalidError extends ShoalError {
  readonly code = 'METAINFO_INVALID'
  constructor(reason: string, options?: ErrorOptions) {
    super(`not the metainfo of a blob: ${reason}`, options)
  }
}

export function pieceCount(metainfo: Pick<Metainfo, 'length' | 'pieceLength'>): number {
  return Math.ceil(metainfo.length / metainfo.pieceLength)
}

/** Bytes of piece `index`; only the last may be shorter than the others. */
export function pieceBytes(metainfo: Pick<Metainfo, 'length' | 'pieceLength'>, index: number): number {
  assert(index >= 0 && index < pieceCount(metainfo), `piece ${index} exists`)
  return Math.min(metainfo.pieceLength, metainfo.length - index * metainfo.pieceLength)
}

/** The SHA-256 that piece `index` must have; a view, 32 bytes. */
export function pieceSha256(metainfo: Metainfo, index: number): Uint8Array {
  return metainfo.piecesSha256.subarray(index * SHA256_BYTES, (index + 1) * SHA256_BYTES)
}

/** Bytes. Longer blobs are not given out while they arrive. */
export const ARRIVING_LENGTH_MAX = 256 * 1024 ** 3

/**
 * The metainfo of a blob that nobody has whole yet: its pieces' hashes are zero until they are learned, and are filled in in
 * place (`learnPieceSha256`). It has no info dictionary.
 */
export function unknownMetainfo(digest: Digest, length: number): Metainfo {
  const pieceLength = pieceLengthFor(length)
  const count = pieceCount({ length, pieceLength })
  return {
    digest,
    length,
    pieceLength,
    piecesSha1: new Uint8Array(count * SHA1_BYTES),
    piecesSha256: new Uint8Array(count * SHA256_BYTES),
  }
}

export function learnPieceSha256(metainfo: Metainfo, index: number, sha256: Uint8Array): void {
  metainfo.piecesSha256.set(sha256, index * SHA256_BYTES)
}

/** The blob's name inside its torrent. */
export function torrentName(digest: Digest): string {
  return `${digestAlgorithm(digest)}-${digestHex(digest)}`
}

/** The bencoded `info` dictionary: its SHA-1 is the info hash. */
export function encodeInfo(metainfo: Metainfo): Uint8Array {
  return bencode(infoOf(metainfo))
}

/** A `.torrent` file, without trackers unless `announceUrl` is given. */
export function encodeTorrent(metainfo: Metainfo, announceUrl?: string): Uint8Array {
  const torrent: Record<string, Bencoded> = { info: infoOf(metainfo) }
  if (announceUrl !== undefined) torrent.announce = asciiBytes(announceUrl)
  return bencode(torrent)
}

/**
 * @param info the bencoded `info` dictionary
 * @throws MetainfoInvalidError for anything that {@link encodeInfo} would not have written
 */
export function decodeInfo(info: Uint8Array): Metainfo {
  if (info.length > METAINFO_BYTES_MAX) throw new MetainfoInvalidError(`${info.length} bytes is too long`)
  let value: Bencoded
  try {
    value = bdecode(info)
  } catch (cause) {
    throw new MetainfoInvalidError('it is not bencoded', { cause })
  }
  if (typeof value !== 'object' || value instanceof Uint8Array || Array.isArray(value)) {
    throw new MetainfoInvalidError('it is not a dictionary')
  }
  const dictionary = value as { readonly [key: string]: Bencoded }
  const length = dictionary.length
  const pieceLength = dictionary['piece length']
  const name = dictionary.name
  const piecesSha1 = dictionary.pieces
  const piecesSha256 = dictionary[PIECES_SHA256_KEY]
  if (typeof length !== 'number' || length < 0) throw new MetainfoInvalidError('no length')
  if (typeof pieceLength !== 'number' || !PIECE_LENGTHS_BYTES.some((known) => known === pieceLength)) {
    throw new MetainfoInvalidError('the piece length is not one that Shoal uses')
  }
  if (pieceLength !== pieceLengthFor(length))
    throw new MetainfoInvalidError('the piece length does not follow from the length')
  if (dictionary.private !== 1) throw new MetainfoInvalidError('it is not private')
  // Far longer than any digest, and far shorter than what a call takes as arguments.
  const isName = name instanceof Uint8Array && name.length <= NAME_BYTES_MAX
  const digest = isName ? digestOfName(String.fromCharCode(...name)) : undefined
  if (digest === undefined) throw new MetainfoInvalidError('the name is not a digest')
  const count = pieceCount({ length, pieceLength })
  if (!(piecesSha1 instanceof Uint8Array) || piecesSha1.length !== count * SHA1_BYTES) {
    throw new MetainfoInvalidError('the SHA-1 pieces do not match the length')
  }
  if (!(piecesSha256 instanceof Uint8Array) || piecesSha256.length !== count * SHA256_BYTES) {
    throw new MetainfoInvalidError('the SHA-256 pieces do not match the length')
  }
  if (Object.keys(dictionary).length !== 6)
    throw new MetainfoInvalidError('it has keys that Shoal does not write')
  return { digest, length, pieceLength, piecesSha1, piecesSha256 }
}

function infoOf(metainfo: Metainfo): Bencoded {
  return {
    length: metainfo.length,
    name: asciiBytes(torrentName(metainfo.digest)),
    'piece length': metainfo.pieceLength,
    pieces: metainfo.piecesSha1,
    private: 1,
    [PIECES_SHA256_KEY]: metainfo.piecesSha256,
  }
}

function digestOfName(name: string): Digest | undefined {
  return tryParseDigest(name.replace('-', ':'))
}
