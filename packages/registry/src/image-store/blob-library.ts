/**
 * Blobs in the object store, whatever repository they belong to: records, metainfo, and how a new one is published.
 * Records and metainfo never change once written, so they are kept in memory for a while.
 */
import {
  type Digest,
  decodeInfo,
  encodeInfo,
  type InfoHash,
  METAINFO_BYTES_MAX,
  type Metainfo,
  tryParseDigest,
} from '@shoal/core'
import { infoHashOf, type ObjectStore, readWhole } from '@shoal/storage'
import type { HashedBlob } from './blob-hasher.ts'
import {
  type BlobRecord,
  decodeBlobRecord,
  encodeBlobRecord,
  isInfoHash,
  keys,
  RECORD_BYTES_MAX,
} from './layout.ts'
import { RecentValues } from './recent-values.ts'

export interface BlobMetainfo {
  readonly metainfo: Metainfo
  readonly infoHash: InfoHash
}

/** How long another replica's deletion may go unseen. */
const AGE_MS_MAX = 60_000
/** A record takes some hundred bytes. */
const RECORDS_MAX = 8_192
/** Most metainfo is below 30 KB. */
const METAINFO_BYTES_KEPT_MAX = 16 * 1024 * 1024

export class BlobLibrary {
  readonly #objects: ObjectStore
  readonly #records: RecentValues<BlobRecord>
  readonly #metainfos: RecentValues<BlobMetainfo>

  constructor({ objects, nowMs }: { objects: ObjectStore; nowMs: () => number }) {
    this.#objects = objects
    this.#records = new RecentValues({ weightMax: RECORDS_MAX, ageMsMax: AGE_MS_MAX, nowMs })
    this.#metainfos = new RecentValues({
      weightMax: METAINFO_BYTES_KEPT_MAX,
      weigh: ({ metainfo }) => 512 + metainfo.piecesSha1.length + metainfo.piecesSha256.length,
      ageMsMax: AGE_MS_MAX,
      nowMs,
    })
  }

  /** @returns undefined when there is no such blob */
  record(digest: Digest): Promise<BlobRecord | undefined> {
    return this.#records.get(digest, () => this.#readRecord(digest))
  }

  metainfo(digest: Digest): Promise<BlobMetainfo | undefined> {
    return this.#metainfos.get(digest, async () => {
      const info = await this.#readSmall(keys.torrent(digest), METAINFO_BYTES_MAX)
      if (info === undefined) return undefined
      const metainfo = decodeInfo(info)
      return { metainfo, infoHash: infoHashOf(metainfo) }
    })
  }

  async digestOfInfoHash(infoHash: string): Promise<Digest | undefined> {
    if (!isInfoHash(infoHash)) return undefined
    const pointer = await this.#readSmall(keys.swarm(infoHash), RECORD_BYTES_MAX)
    return pointer && tryParseDigest(Buffer.from(pointer).toString())
  }

  /**
   * Makes content that is already in its place a blob. When another upload of the same blob was first, this one's content
   * is deleted and the other's is used: both succeed.
   */
  async publish(blob: HashedBlob, contentKey: string): Promise<BlobRecord> {
    const info = encodeInfo(blob.metainfo)
    const record: BlobRecord = { length: blob.length, contentKey, infoHash: infoHashOf(blob.metainfo) }
    // Deterministic in the blob's bytes: whoever writes these writes the same. They come before the record, so that a
    // blob that can be seen has them.
    try {
      await this.#objects.put(keys.torrent(blob.digest), info, { ifAbsent: true })
      await this.#objects.put(keys.swarm(record.infoHash), Buffer.from(blob.digest), { ifAbsent: true })
    } catch (error) {
      await this.#objects.delete(contentKey)
      throw error
    }
    const winner = await this.#create(blob.digest, record)
    this.#records.set(blob.digest, winner)
    this.#metainfos.set(blob.digest, { metainfo: blob.metainfo, infoHash: record.infoHash })
    if (winner.contentKey !== contentKey) await this.#objects.delete(contentKey)
    return winner
  }

  async #create(digest: Digest, record: BlobRecord): Promise<BlobRecord> {
    const outcome = await this.#objects
      .put(keys.blob(digest), encodeBlobRecord(record), { ifAbsent: true })
      // The write may have happened although its answer was lost, or may happen yet: the content stays in any case.
      .catch((error: unknown) => ({ kind: 'unclear' as const, error }))
    if (outcome.kind === 'stored') return record
    const existing = await this.#readRecord(digest)
    if (existing !== undefined) return existing
    throw outcome.kind === 'unclear'
      ? outcome.error
      : new Error(`the record of ${digest} vanished while it was written`)
  }

  async #readRecord(digest: Digest): Promise<BlobRecord | undefined> {
    const key = keys.blob(digest)
    const bytes = await this.#readSmall(key, RECORD_BYTES_MAX)
    return bytes && decodeBlobRecord(key, bytes)
  }

  async #readSmall(key: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const object = await this.#objects.read(key)
    return object && (await readWhole(key, object, bytesMax))
  }
}
