/**
 * An upload as the object store knows it, between two requests: enough for any seeder to go on with it. Pure.
 *
 * `uploads/<id>` is one line of JSON, then the bencoded info dictionary of the bytes so far: a replica that is only asked to
 * finish the upload need not read its bytes again.
 */
import {
  DIGEST_ALGORITHMS,
  type Digest,
  type DigestAlgorithm,
  decodeInfo,
  encodeInfo,
  METAINFO_BYTES_MAX,
  type Metainfo,
  MetainfoInvalidError,
  tryParseDigest,
} from '@shoal/core'
import { isRepositoryName } from '@shoal/oci'
import type { WriterCheckpoint } from '@shoal/storage'
import type { HashedBlob } from './blob-hasher.ts'
import { decodeJsonLine, encodeJsonLine, StoredRecordInvalidError } from './layout.ts'

export interface UploadRecord {
  readonly repository: string
  /** Bytes received and kept. */
  readonly received: number
  readonly algorithm?: DigestAlgorithm
  /** Length of the whole blob, where the client said it. */
  readonly blobBytes?: number
  /** Where writing goes on; absent before the first byte. */
  readonly checkpoint?: WriterCheckpoint
  /** What the bytes so far are; absent when they must be read again to know. */
  readonly hashed?: HashedBlob
  readonly updatedAtMs: number
}

/** A line of a few hundred bytes, and metainfo. */
export const UPLOAD_RECORD_BYTES_MAX = 16_384 + METAINFO_BYTES_MAX

export function encodeUploadRecord({ hashed, ...rest }: UploadRecord): Uint8Array {
  const digest: { hashed?: Digest } = hashed === undefined ? {} : { hashed: hashed.digest }
  const info = hashed === undefined ? new Uint8Array() : encodeInfo(hashed.metainfo)
  return encodeJsonLine({ ...rest, ...digest }, info)
}

/** @throws StoredRecordInvalidError */
export function decodeUploadRecord(key: string, bytes: Uint8Array): UploadRecord {
  const { line, rest } = decodeJsonLine(key, bytes)
  const { repository, received, algorithm, blobBytes, checkpoint, hashed, updatedAtMs } = line
  const digest = typeof hashed === 'string' ? tryParseDigest(hashed) : undefined
  const isRecord =
    typeof repository === 'string' &&
    isRepositoryName(repository) &&
    isCount(received) &&
    (algorithm === undefined || DIGEST_ALGORITHMS.some((known) => known === algorithm)) &&
    (blobBytes === undefined || isCount(blobBytes)) &&
    (checkpoint === undefined || isCheckpoint(checkpoint)) &&
    (hashed === undefined || digest !== undefined) &&
    isCount(updatedAtMs)
  if (!isRecord) throw new StoredRecordInvalidError(key)
  return {
    repository,
    received,
    updatedAtMs,
    ...(algorithm === undefined ? {} : { algorithm: algorithm as DigestAlgorithm }),
    ...(blobBytes === undefined ? {} : { blobBytes }),
    ...(checkpoint === undefined ? {} : { checkpoint }),
    ...(digest === undefined ? {} : { hashed: hashedOf(key, digest, received, rest) }),
  }
}

/** Whoever finishes the upload believes it: it is about the bytes that were received, or it is nothing. */
function hashedOf(key: string, digest: Digest, received: number, info: Uint8Array): HashedBlob {
  let metainfo: Metainfo
  try {
    metainfo = decodeInfo(info)
  } catch (cause) {
    if (!(cause instanceof MetainfoInvalidError)) throw cause
    throw new StoredRecordInvalidError(key)
  }
  if (metainfo.digest !== digest || metainfo.length !== received) throw new StoredRecordInvalidError(key)
  return { digest, length: received, metainfo }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isCheckpoint(value: unknown): value is WriterCheckpoint {
  const { bytes, token } = (value ?? {}) as { bytes?: unknown; token?: unknown }
  return isCount(bytes) && typeof token === 'string'
}
