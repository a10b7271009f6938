/**
 * Where everything of an image lies in the object store. Pure.
 *
 * ```
 * blobs/<alg>/<ab>/<hex>                 JSON {version, length, contentKey, infoHash, leasedAtMs, condemnedAtMs, damagedAtMs,
 *                                        removedAtMs}: the
 *                                        blob exists, where its bytes are, and whether they may go (`garbage-collection.ts`)
 * content/<upload id>                    the bytes, written once to the place where they stay
 * gc/lease                               JSON: which run of garbage collection goes on
 * uploads/<upload id>                    an upload between two requests (`upload-record.ts`)
 * torrents/<alg>-<hex>                   the bencoded info dictionary
 * swarms/<info hash>                     the digest, so that a standard client's info hash is found after a restart
 * repos/<name>/_blobs/<alg>/<hex>        JSON {version, linkedAtMs}: the repository has the blob; a digest alone grants nothing
 * repos/<name>/_manifests/<alg>/<hex>    one line of JSON {version, mediaType, leasedAtMs, condemnedBy, removedAtMs}, then the
 *                                        manifest as it came; a removed one keeps its bytes for a while (`manifest-changes.ts`)
 * repos/<name>/_referrers/<alg>/<hex>/<alg>-<hex>   JSON {version, referrer}: what is attached to the manifest <hex>
 * repos/<name>/_referrers/_indexed       JSON: every manifest of the repository that has a subject is listed there
 * repos/<name>/_tags/<tag>               JSON {version, digest, updatedAtMs, isPinned}, or for a while after the tag was removed
 *                                        {version, removedAtMs}
 * ```
 *
 * A blob is published by the one conditional create of its `blobs/` record, after everything that the record promises is
 * there. Segments that begin with `_` cannot be a component of a repository name, so names never collide with them.
 */
import { type Digest, digestAlgorithm, digestHex, ShoalError, torrentName, tryParseDigest } from '@shoal/core'
import { MANIFEST_BYTES_MAX, type Referrer } from '@shoal/oci'

const VERSION = 1
/** A record is a few hundred bytes; whatever is longer is not one. */
export const RECORD_BYTES_MAX = 4_096
/** The first line of a stored manifest. */
const MANIFEST_HEADER_BYTES_MAX = 1_024
export const MANIFEST_STORED_BYTES_MAX = MANIFEST_HEADER_BYTES_MAX + 1 + MANIFEST_BYTES_MAX
/** A writer's checkpoint is the longest that comes in one. */
const JSON_LINE_BYTES_MAX = 16_384

export class StoredRecordInvalidError extends ShoalError {
  readonly code = 'STORED_RECORD_INVALID'
  readonly key: string

  constructor(key: string) {
    super(`the object ${key} is not what Shoal writes there; was it changed by something else?`)
    this.key = key
  }
}

/** That a blob exists, and where. */
export interface BlobRecord {
  /** Bytes. */
  readonly length: number
  readonly contentKey: string
  /** 40 hexadecimal digits. */
  readonly infoHash: string
  /** When somebody was last told that the blob is here, or brought it: for a while from then on, nobody may remove it. */
  readonly leasedAtMs: number
  /** Nothing needed it when garbage was looked for; whoever needs it now takes this back. */
  readonly condemnedAtMs?: number
  /** Its content was found to be missing, cut or changed: to clients it is not there, and whoever pushes it replaces it. */
  readonly damagedAtMs?: number
  /** There is no such blob any more; the record stays until nobody can be in the middle of replacing it. */
  readonly removedAtMs?: number
}

export interface TagRecord {
  readonly digest: Digest
  /** When it was pushed, or last compared with the registry that it mirrors. */
  readonly updatedAtMs: number
  /** What the mirrored registry says no longer changes it: it was published on purpose. */
  readonly isPinned?: boolean
}

/** There was such a tag; the record stays until nobody can be in the middle of replacing it. */
export interface RemovedTag {
  readonly removedAtMs: number
}

/** What a removal has done to a manifest so far. */
export interface ManifestState {
  /** A removal is under way, and this is its name: who needs the manifest takes it back. */
  readonly condemnedBy?: string
  /** There is no such manifest any more; its bytes are kept for whoever was about to give it a tag. */
  readonly removedAtMs?: number
}

export interface ManifestRecord extends ManifestState {
  readonly mediaType: string
  /** When it was last pushed, or somebody who pushes was told that it is here. */
  readonly leasedAtMs?: number
  readonly bytes: Uint8Array
}

export const keys = {
  garbageLease: 'gc/lease',
  blob: (digest: Digest) =>
    `blobs/${digestAlgorithm(digest)}/${digestHex(digest).slice(0, 2)}/${digestHex(digest)}`,
  content: (uploadId: string) => `content/${uploadId}`,
  contents: 'content/',
  upload: (uploadId: string) => `uploads/${uploadId}`,
  uploads: 'uploads/',
  blobs: 'blobs/',
  torrents: 'torrents/',
  torrent: (digest: Digest) => `torrents/${torrentName(digest)}`,
  swarm: (infoHash: string) => `swarms/${infoHash}`,
  repositories: 'repos/',
  repository: (name: string) => `repos/${name}/_`,
  blobLink: (name: string, digest: Digest) =>
    `repos/${name}/_blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`,
  manifest: (name: string, digest: Digest) =>
    `repos/${name}/_manifests/${digestAlgorithm(digest)}/${digestHex(digest)}`,
  manifests: (name: string) => `repos/${name}/_manifests/`,
  referrers: (name: string, subject: Digest) =>
    `repos/${name}/_referrers/${digestAlgorithm(subject)}/${digestHex(subject)}/`,
  referrer: (name: string, subject: Digest, referrer: Digest) =>
    `${keys.referrers(name, subject)}${torrentName(referrer)}`,
  referrersIndexed: (name: string) => `repos/${name}/_referrers/_indexed`,
  tags: (name: string) => `repos/${name}/_tags/`,
  tag: (name: string, tag: string) => `repos/${name}/_tags/${tag}`,
}

export function encodeBlobRecord(record: BlobRecord): Uint8Array {
  return encodeJson({ version: VERSION, ...record })
}

/** @throws StoredRecordInvalidError */
export function decodeBlobRecord(key: string, bytes: Uint8Array): BlobRecord {
  const { length, contentKey, infoHash, leasedAtMs, condemnedAtMs, damagedAtMs, removedAtMs } = decodeJson(
    key,
    bytes,
  )
  const isRecord =
    Number.isSafeInteger(length) &&
    (length as number) >= 0 &&
    typeof contentKey === 'string' &&
    /^content\/[A-Za-z0-9_-]+$/.test(contentKey) &&
    typeof infoHash === 'string' &&
    isInfoHash(infoHash) &&
    [leasedAtMs, condemnedAtMs, damagedAtMs, removedAtMs].every(
      (at) => at === undefined || typeof at === 'number',
    )
  if (!isRecord) throw new StoredRecordInvalidError(key)
  return {
    length: length as number,
    contentKey,
    infoHash,
    // Records of the first version had no lease: theirs has run out.
    leasedAtMs: (leasedAtMs as number | undefined) ?? 0,
    ...(condemnedAtMs === undefined ? {} : { condemnedAtMs: condemnedAtMs as number }),
    ...(damagedAtMs === undefined ? {} : { damagedAtMs: damagedAtMs as number }),
    ...(removedAtMs === undefined ? {} : { removedAtMs: removedAtMs as number }),
  }
}

export function encodeTagRecord(record: TagRecord): Uint8Array {
  return encodeJson({ version: VERSION, ...record })
}

/** Shorter than any tag that points to a digest, so that a listing tells them apart without reading them. */
export const REMOVED_TAG_BYTES_MAX = 64

export function encodeRemovedTag(removed: RemovedTag): Uint8Array {
  return encodeJson({ version: VERSION, ...removed })
}

/** @throws StoredRecordInvalidError */
export function decodeTagRecord(key: string, bytes: Uint8Array): TagRecord | RemovedTag {
  const { digest, updatedAtMs, isPinned, removedAtMs } = decodeJson(key, bytes)
  if (typeof removedAtMs === 'number') return { removedAtMs }
  const parsed = typeof digest === 'string' ? tryParseDigest(digest) : undefined
  if (parsed === undefined || typeof updatedAtMs !== 'number') throw new StoredRecordInvalidError(key)
  return { digest: parsed, updatedAtMs, ...(isPinned === true ? { isPinned } : {}) }
}

/** @param writtenAtMs makes the bytes, and with them the entity tag, differ from those that were there before */
export function encodeReferrer(referrer: Referrer, writtenAtMs: number): Uint8Array {
  return encodeJson({ version: VERSION, referrer, writtenAtMs })
}

/** @throws StoredRecordInvalidError */
export function decodeReferrer(key: string, bytes: Uint8Array): Referrer {
  const { referrer } = decodeJson(key, bytes)
  if (typeof referrer !== 'object' || referrer === null) throw new StoredRecordInvalidError(key)
  return referrer as Referrer
}

/** @param linkedAtMs makes one link's bytes, and with them its entity tag, differ from those before it */
export function encodeBlobLink(linkedAtMs: number): Uint8Array {
  return encodeJson({ version: VERSION, linkedAtMs })
}

export function encodeManifest({ bytes, ...line }: ManifestRecord): Uint8Array {
  return encodeJsonLine(line, bytes)
}

/** @throws StoredRecordInvalidError */
export function decodeManifest(key: string, stored: Uint8Array): ManifestRecord {
  const { line, rest } = decodeJsonLine(key, stored)
  const { mediaType, leasedAtMs, condemnedBy, removedAtMs } = line
  if (typeof mediaType !== 'string') throw new StoredRecordInvalidError(key)
  return {
    mediaType,
    bytes: rest,
    ...(typeof leasedAtMs === 'number' ? { leasedAtMs } : {}),
    ...(typeof condemnedBy === 'string' ? { condemnedBy } : {}),
    ...(typeof removedAtMs === 'number' ? { removedAtMs } : {}),
  }
}

/** One line of JSON, then bytes of another kind. */
export function encodeJsonLine(line: { readonly [key: string]: unknown }, rest: Uint8Array): Uint8Array {
  return Buffer.concat([encodeJson({ version: VERSION, ...line }), Buffer.from('\n'), rest])
}

/** @throws StoredRecordInvalidError */
export function decodeJsonLine(
  key: string,
  stored: Uint8Array,
): { readonly line: { readonly [key: string]: unknown }; readonly rest: Uint8Array } {
  const lineEnd = stored.indexOf(0x0a)
  if (lineEnd === -1 || lineEnd > JSON_LINE_BYTES_MAX) throw new StoredRecordInvalidError(key)
  return { line: decodeJson(key, stored.subarray(0, lineEnd)), rest: stored.subarray(lineEnd + 1) }
}

export function isInfoHash(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text)
}

/** Ids that can be part of a key and of a URL. */
export function isUploadId(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,128}$/.test(text)
}

function encodeJson(record: { readonly [key: string]: unknown }): Uint8Array {
  return Buffer.from(JSON.stringify(record))
}

function decodeJson(key: string, bytes: Uint8Array): { readonly [key: string]: unknown } {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes).toString())
  } catch {
    throw new StoredRecordInvalidError(key)
  }
  if (typeof value !== 'object' || value === null || (value as { version?: unknown }).version !== VERSION) {
    throw new StoredRecordInvalidError(key)
  }
  return value as { readonly [key: string]: unknown }
}
