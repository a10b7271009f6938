/**
 * Blobs in the object store, whatever repository they belong to: records, metainfo, and how a new one is published.
 * Metainfo never changes once written; of records only what garbage collection writes does. Both are kept in memory for a
 * while.
 *
 * A record is only changed by conditional writes, so that of a push and a collection that meet on one blob exactly one is
 * first, and the other sees it (`garbage-collection.ts`).
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
import {
  infoHashOf,
  type ObjectStore,
  readWhole,
  StorageFullError,
  StorageObjectTooLargeError,
} from '@shoal/storage'
import type { HashedBlob } from './blob-hasher.ts'
import { ContendedError } from './errors.ts'
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
/** Whoever loses a race for a record looks again. So many lost in a row are a fault, not races. */
const ATTEMPTS_MAX = 8
/** A record takes some hundred bytes. */
const RECORDS_MAX = 8_192
/** Most metainfo is below 30 KB. */
const METAINFO_BYTES_KEPT_MAX = 16 * 1024 * 1024

/** A record as it was read, with the tag that a conditional write needs. */
export interface StoredBlob {
  readonly record: BlobRecord
  readonly etag: string
}

export class BlobLibrary {
  readonly #objects: ObjectStore
  readonly #nowMs: () => number
  readonly #leaseMs: number
  readonly #records: RecentValues<StoredBlob>
  readonly #metainfos: RecentValues<BlobMetainfo>
  /** By info hash. */
  readonly #digests: RecentValues<Digest>

  /** @param init.leaseMs age from which a lease is renewed: half of what garbage collection waits */
  constructor(
    { objects, nowMs }: { objects: ObjectStore; nowMs: () => number },
    { leaseMs }: { leaseMs: number },
  ) {
    this.#objects = objects
    this.#nowMs = nowMs
    this.#leaseMs = leaseMs
    this.#records = new RecentValues({ weightMax: RECORDS_MAX, ageMsMax: AGE_MS_MAX, nowMs })
    this.#digests = new RecentValues({ weightMax: RECORDS_MAX, ageMsMax: AGE_MS_MAX, nowMs })
    this.#metainfos = new RecentValues({
      weightMax: METAINFO_BYTES_KEPT_MAX,
      weigh: ({ metainfo }) => 512 + metainfo.piecesSha1.length + metainfo.piecesSha256.length,
      ageMsMax: AGE_MS_MAX,
      nowMs,
    })
  }

  /** @returns undefined when there is no such blob, or its content is known to be damaged */
  async record(digest: Digest): Promise<BlobRecord | undefined> {
    return (await this.#records.get(digest, () => this.#readLive(digest)))?.record
  }

  /**
   * Promises whoever asks that the blob stays for a while: they are about to rely on it.
   * @returns undefined when there is no such blob, or its content is known to be damaged
   */
  async lease(digest: Digest): Promise<BlobRecord | undefined> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const stored = await this.#records.get(digest, () => this.#readLive(digest))
      if (stored === undefined) return undefined
      const { condemnedAtMs, ...record } = stored.record
      const isLeased = condemnedAtMs === undefined && record.leasedAtMs > this.#nowMs() - this.#leaseMs
      if (isLeased) return record
      const leased = { ...record, leasedAtMs: this.#nowMs() }
      if (await this.replace(digest, stored.etag, leased)) return leased
    }
    throw new ContendedError(`the record of ${digest}`, `changed ${ATTEMPTS_MAX} times while it was leased`)
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
    return this.#digests.get(infoHash, async () => {
      const pointer = await this.#readSmall(keys.swarm(infoHash), RECORD_BYTES_MAX)
      return pointer && tryParseDigest(Buffer.from(pointer).toString())
    })
  }

  /**
   * Makes content that is already in its place a blob. When another upload of the same blob was first, this one's content
   * is deleted and the other's is used: both succeed. Content that is older than the upload gives way: this one's was just
   * seen to be right, of the other nobody knows whether it still is.
   * @param uploadBeganAtMs when the upload of this content began
   * @returns whether content gave way that was known to be damaged
   */
  async publish(blob: HashedBlob, contentKey: string, uploadBeganAtMs: number): Promise<boolean> {
    const { digest, length, metainfo } = blob
    const infoHash = infoHashOf(metainfo)
    const record: BlobRecord = { length, contentKey, infoHash, leasedAtMs: this.#nowMs() }
    // Deterministic in the blob's bytes: whoever writes these writes the same. They come before the record, so that a
    // blob that can be seen has them.
    const putMetainfo = async (precondition?: { ifAbsent: true }): Promise<boolean> => {
      const torrent = await this.#objects.put(keys.torrent(digest), encodeInfo(metainfo), precondition)
      const swarm = await this.#objects.put(keys.swarm(infoHash), Buffer.from(digest), precondition)
      return torrent.kind === 'stored' && swarm.kind === 'stored'
    }
    let isNew: boolean
    try {
      isNew = await putMetainfo({ ifAbsent: true })
    } catch (error) {
      await this.#objects.delete(contentKey)
      throw error
    }
    const { record: winner, replaced } = await this.#create(digest, record, uploadBeganAtMs)
    // What was there may be what is left of a removed blob, and going away at this moment.
    if (!isNew) await putMetainfo()
    this.#metainfos.set(digest, { metainfo, infoHash })
    if (winner.contentKey !== contentKey) await this.#objects.delete(contentKey)
    // Last: until the record says another thing, it is the content of the blob. What is right as far as anybody knows may be
    // read at this moment, and by URLs that were given away: garbage collection removes it.
    if (replaced !== undefined && !isLive(replaced)) await this.#objects.delete(replaced.contentKey)
    return replaced?.damagedAtMs !== undefined
  }

  /** Whether the content that a record speaks of is there, as far as its length tells, and no older than that. */
  async isWrittenSince({ contentKey, length }: BlobRecord, sinceMs: number): Promise<boolean> {
    const stat = await this.#objects.stat(contentKey)
    return stat !== undefined && stat.length === length && stat.modifiedAtMs >= sinceMs
  }

  /** Writes the metainfo anew where it is not what the content says. */
  async mendMetainfo(digest: Digest, metainfo: Metainfo): Promise<boolean> {
    const infoHash = infoHashOf(metainfo)
    const info = Buffer.from(encodeInfo(metainfo))
    const read = (key: string, bytesMax: number) =>
      this.#readSmall(key, bytesMax).catch((error) => {
        if (error instanceof StorageObjectTooLargeError) return undefined
        throw error
      })
    const torrent = await read(keys.torrent(digest), METAINFO_BYTES_MAX)
    const pointer = await read(keys.swarm(infoHash), RECORD_BYTES_MAX)
    if (torrent && pointer && info.equals(torrent) && Buffer.from(digest).equals(pointer)) return false
    await this.#objects.put(keys.torrent(digest), info)
    await this.#objects.put(keys.swarm(infoHash), Buffer.from(digest))
    this.#metainfos.set(digest, { metainfo, infoHash })
    this.#digests.delete(infoHash)
    return true
  }

  // What garbage collection needs.

  /** Reads past everything that is remembered. */
  async readRecord(digest: Digest): Promise<StoredBlob | undefined> {
    const key = keys.blob(digest)
    const object = await this.#objects.read(key)
    if (object === undefined) return undefined
    const bytes = await readWhole(key, object, RECORD_BYTES_MAX)
    return { record: decodeBlobRecord(key, bytes), etag: object.etag }
  }

  /** @returns false when somebody else changed the record since it had this tag */
  async replace(digest: Digest, etag: string, record: BlobRecord): Promise<boolean> {
    const outcome = await this.#objects.put(keys.blob(digest), encodeBlobRecord(record), { ifMatch: etag })
    if (outcome.kind === 'stored' && isLive(record)) this.#records.set(digest, { record, etag: outcome.etag })
    else this.#records.delete(digest)
    return outcome.kind === 'stored'
  }

  /**
   * Marks a blob as removed. Where the store has no room for the mark, the record goes instead: whoever relies on the blob
   * would have changed it.
   * @returns false when somebody else changed the record since it was read
   */
  async remove(digest: Digest, { record, etag }: StoredBlob, removedAtMs: number): Promise<boolean> {
    let isRemoved: boolean
    try {
      isRemoved = await this.replace(digest, etag, { ...record, removedAtMs })
    } catch (error) {
      if (!(error instanceof StorageFullError)) throw error
      isRemoved = await this.#objects.deleteIf(keys.blob(digest), etag)
    }
    if (isRemoved) this.forget(digest, record.infoHash)
    return isRemoved
  }

  forget(digest: Digest, infoHash: InfoHash): void {
    this.#records.delete(digest)
    this.#digests.delete(infoHash)
    this.#metainfos.delete(digest)
  }

  async #readLive(digest: Digest): Promise<StoredBlob | undefined> {
    const stored = await this.readRecord(digest)
    return stored && isLive(stored.record) ? stored : undefined
  }

  async #create(
    digest: Digest,
    record: BlobRecord,
    uploadBeganAtMs: number,
  ): Promise<{ readonly record: BlobRecord; readonly replaced?: BlobRecord }> {
    const outcome = await this.#objects
      .put(keys.blob(digest), encodeBlobRecord(record), { ifAbsent: true })
      // The write may have happened although its answer was lost, or may happen yet: the content stays in any case.
      .catch((error: unknown) => ({ kind: 'unclear' as const, error }))
    if (outcome.kind === 'stored') {
      this.#records.set(digest, { record, etag: outcome.etag })
      return { record }
    }
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      this.#records.delete(digest)
      const other = await this.readRecord(digest)
      if (other !== undefined && isLive(other.record)) {
        const isOwn = other.record.contentKey === record.contentKey
        if (isOwn || (await this.isWrittenSince(other.record, uploadBeganAtMs))) {
          const leased = await this.lease(digest)
          if (leased !== undefined) return { record: leased }
          continue
        }
      }
      if (outcome.kind === 'unclear' && other === undefined) throw outcome.error
      const isStored =
        other === undefined
          ? (await this.#objects.put(keys.blob(digest), encodeBlobRecord(record), { ifAbsent: true }))
              .kind === 'stored'
          : await this.replace(digest, other.etag, record)
      if (isStored) return { record, ...(other === undefined ? {} : { replaced: other.record }) }
    }
    throw new ContendedError(`the record of ${digest}`, `changed ${ATTEMPTS_MAX} times while it was written`)
  }

  async #readSmall(key: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const object = await this.#objects.read(key)
    return object && (await readWhole(key, object, bytesMax))
  }
}

/** Whether it is there to whoever asks. */
export function isLive({ removedAtMs, damagedAtMs }: BlobRecord): boolean {
  return removedAtMs === undefined && damagedAtMs === undefined
}
