/**
 * Whether the content of blobs is what their records say. A record is not the content: files are cut and lost, and bytes rot.
 *
 * Whoever relies on a blob (a push that finds it, a fetch that would be spared) is told of it when its content has the right
 * length. Who reads it and finds something else says so: then it is read once from beginning to end, and when it is not what
 * its digest says, the record says that it is damaged. To everybody such a blob is not there, so that clients push it again
 * and mirrors fetch it again, and what comes then replaces it. A scrub does the same for every blob.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Digest, digestAlgorithm, tryParseDigest } from '@shoal/core'
import { Gate } from '@shoal/service'
import { type ObjectStore, StorageFullError } from '@shoal/storage'
import type { Logger } from 'pino'
import { BlobHasher, type HashedBlob } from './blob-hasher.ts'
import { type BlobLibrary, isLive, type StoredRecord } from './blob-library.ts'
import { eachPage } from './each-page.ts'
import { type BlobRecord, keys } from './layout.ts'
import { RecentValues } from './recent-values.ts'

export type Damage = 'missing' | 'cut' | 'changed'
export type BlobCheck = 'right' | 'gone' | 'mended' | Damage

export interface DamagedBlob {
  readonly digest: Digest
  readonly damage: Damage
  /** Which repositories have it, the first of them. */
  readonly repositories: readonly string[]
}

export interface ScrubReport {
  readonly blobs: number
  readonly bytes: number
  /** Damaged before, and right now; or its metainfo was not what its content says, and was written anew. */
  readonly mendedBlobs: number
  readonly damagedBlobs: number
  /** The first of them. */
  readonly damaged: readonly DamagedBlob[]
}

export interface ScrubOptions {
  readonly signal?: AbortSignal
  readonly bytesPerSecond?: number
  /** Where among the digests it begins, from 0 to 1: it goes round. One that is often cut short comes to all of them so. */
  readonly startAt?: number
  /** Called after each blob. */
  readonly onProgress?: (blobs: number, bytes: number) => void
}

export interface BlobChecksParts {
  readonly objects: ObjectStore
  readonly blobs: BlobLibrary
  readonly log: Logger
  readonly nowMs: () => number
  readonly onDamaged: (digest: Digest) => void
}

/** How long content that was seen is taken to be there. */
const SEEN_MS_MAX = 60_000
const SEEN_MAX = 8_192
/** How long a blob that was read whole and was right is not read again: whoever cannot read it has another trouble. */
const RIGHT_MS_MAX = 10 * 60_000
const SUSPECTS_MAX = 1_024
/** A disk or a bucket that serves pulls at the same time has more than this. */
export const SCRUB_BYTES_PER_SECOND = 64 * 1024 * 1024
export const DAMAGED_NAMED_MAX = 1_000
const REPOSITORIES_NAMED_MAX = 16

export class BlobChecks {
  readonly #parts: BlobChecksParts
  /** Content that was there, by its key. */
  readonly #seen: RecentValues<true>
  readonly #right: RecentValues<true>
  readonly #gate = new Gate(1)
  readonly #suspects = new Set<Digest>()

  constructor(parts: BlobChecksParts) {
    this.#parts = parts
    const { nowMs } = parts
    this.#seen = new RecentValues({ weightMax: SEEN_MAX, ageMsMax: SEEN_MS_MAX, nowMs })
    this.#right = new RecentValues({ weightMax: SEEN_MAX, ageMsMax: RIGHT_MS_MAX, nowMs })
  }

  /** Whether the content that a record speaks of is there, as far as its length tells; notes it where it is not. */
  async isThere(digest: Digest, record: BlobRecord): Promise<boolean> {
    const length = async () => (await this.#parts.objects.stat(record.contentKey))?.length
    const seen = await this.#seen.get(record.contentKey, async () =>
      (await length()) === record.length ? true : undefined,
    )
    if (seen === true) return true
    // It may have been replaced since the record was read: then the record says another thing now.
    const stored = await this.#parts.blobs.readRecord(digest)
    if (stored?.record.contentKey !== record.contentKey) {
      this.#parts.blobs.forget(digest, record.infoHash)
      return stored !== undefined && isLive(stored.record) && (await this.isThere(digest, stored.record))
    }
    const now = await length()
    if (now === record.length) return true
    await this.#note(digest, stored, now === undefined ? 'missing' : 'cut')
    return false
  }

  /** Somebody could not read it, or read something else: it is looked into, when its turn comes. Never throws. */
  suspect(digest: Digest): void {
    if (this.#suspects.has(digest) || this.#suspects.size >= SUSPECTS_MAX) return
    this.#suspects.add(digest)
    const { log } = this.#parts
    const look = () =>
      this.#right.get(digest, async () => ((await this.check(digest)) === 'right' ? true : undefined))
    this.#gate
      .run(look)
      .catch((err: unknown) =>
        log.warn({ event: 'blob-not-checked', digest, err }, 'a blob could not be checked'),
      )
      .finally(() => this.#suspects.delete(digest))
  }

  /**
   * Reads a blob from beginning to end and writes into its record what it finds.
   * @param pace awaited with the length of every chunk
   */
  async check(
    digest: Digest,
    {
      signal,
      pace,
    }: { readonly signal?: AbortSignal; readonly pace?: (bytes: number) => Promise<void> } = {},
  ): Promise<BlobCheck> {
    const { objects, blobs, log } = this.#parts
    const stored = await blobs.readRecord(digest)
    if (stored === undefined || stored.record.removedAtMs !== undefined) return 'gone'
    const { record } = stored
    const object = await objects.read(record.contentKey, signal === undefined ? {} : { signal })
    const isCut = object !== undefined && object.length !== record.length
    let hashed: HashedBlob | undefined
    if (object !== undefined) {
      const hasher = new BlobHasher({ algorithm: digestAlgorithm(digest), blobBytes: record.length })
      for await (const chunk of object.body) {
        if (isCut) break
        hasher.update(chunk)
        await pace?.(chunk.length)
      }
      if (!isCut) hashed = hasher.peek()
    }
    if (hashed?.digest !== digest)
      return this.#note(digest, stored, object === undefined ? 'missing' : isCut ? 'cut' : 'changed')
    const isMetainfoMended = await blobs.mendMetainfo(digest, hashed.metainfo)
    if (record.damagedAtMs === undefined && !isMetainfoMended) return 'right'
    const { damagedAtMs: _, ...sound } = record
    if (record.damagedAtMs !== undefined && !(await blobs.replace(digest, stored.etag, sound))) return 'gone'
    log.info({ event: 'blob-mended', digest }, 'a blob is what its digest says again')
    return 'mended'
  }

  /** Checks every blob, one after the other. */
  async scrub({
    signal,
    onProgress,
    bytesPerSecond = SCRUB_BYTES_PER_SECOND,
    startAt = 0,
  }: ScrubOptions): Promise<ScrubReport> {
    const { objects, log, nowMs } = this.#parts
    const startedAtMs = nowMs()
    const counts = { blobs: 0, bytes: 0, mendedBlobs: 0, damagedBlobs: 0 }
    const found = new Map<Digest, Damage>()
    const pace = async (bytes: number) => {
      counts.bytes += bytes
      const aheadMs = (counts.bytes / bytesPerSecond) * 1000 - (nowMs() - startedAtMs)
      if (aheadMs >= 10)
        await sleep(Math.min(1_000, aheadMs), undefined, signal === undefined ? {} : { signal })
    }
    for await (const key of keysFrom(objects, startAt)) {
      signal?.throwIfAborted()
      const digest = digestOfBlobKey(key)
      const check =
        digest && (await this.check(digest, { pace, ...(signal === undefined ? {} : { signal }) }))
      if (digest === undefined || check === undefined || check === 'gone') continue
      counts.blobs++
      if (check === 'mended') counts.mendedBlobs++
      else if (check !== 'right') {
        counts.damagedBlobs++
        if (found.size < DAMAGED_NAMED_MAX) found.set(digest, check)
      }
      onProgress?.(counts.blobs, counts.bytes)
    }
    log.info({ event: 'scrubbed', ...counts }, 'every blob was checked')
    return { ...counts, damaged: await this.#withRepositories(found) }
  }

  async #note(digest: Digest, { record, etag }: StoredRecord, damage: Damage): Promise<BlobCheck> {
    const { objects, blobs, log, nowMs, onDamaged } = this.#parts
    this.#seen.delete(record.contentKey)
    if (record.damagedAtMs !== undefined) return damage
    try {
      if (!(await blobs.replace(digest, etag, { ...record, damagedAtMs: nowMs() }))) {
        // Replaced or removed while it was read, and its content with it.
        const now = await blobs.readRecord(digest)
        if (now?.record.contentKey !== record.contentKey || now.record.removedAtMs !== undefined)
          return 'gone'
        if (damage === 'missing' && (await objects.stat(record.contentKey)) !== undefined) return 'gone'
        return this.#note(digest, now, damage)
      }
    } catch (error) {
      // Whoever needs it is told that it is not there all the same; the next who looks notes it.
      if (!(error instanceof StorageFullError)) throw error
    }
    onDamaged(digest)
    log.error(
      { event: 'blob-damaged', digest, damage, contentKey: record.contentKey },
      'the content of a blob is not what was pushed; nothing of it is served, push the image again',
    )
    return damage
  }

  async #withRepositories(found: ReadonlyMap<Digest, Damage>): Promise<readonly DamagedBlob[]> {
    const repositories = new Map<Digest, string[]>()
    if (found.size > 0) {
      for await (const page of eachPage(this.#parts.objects, keys.repositories)) {
        for (const key of page.keys) {
          const link = linkOfKey(key)
          if (link === undefined || !found.has(link.digest)) continue
          const names = repositories.get(link.digest) ?? []
          if (names.length < REPOSITORIES_NAMED_MAX) names.push(link.name)
          repositories.set(link.digest, names)
        }
      }
    }
    return [...found].map(([digest, damage]) => ({
      digest,
      damage,
      repositories: repositories.get(digest) ?? [],
    }))
  }
}

/** Every blob's key once, from somewhere among them. */
async function* keysFrom(objects: ObjectStore, startAt: number): AsyncGenerator<string> {
  const first = Math.min(255, Math.floor(startAt * 256))
  const start = `${keys.blobs}sha256/${first.toString(16).padStart(2, '0')}`
  for await (const page of eachPage(objects, keys.blobs, { after: start })) yield* page.keys
  for await (const page of eachPage(objects, keys.blobs)) {
    for (const key of page.keys) {
      if (key > start) return
      yield key
    }
  }
}

function digestOfBlobKey(key: string): Digest | undefined {
  const [, algorithm, , hex] = key.split('/')
  return tryParseDigest(`${algorithm}:${hex}`)
}

export function linkOfKey(key: string): { readonly name: string; readonly digest: Digest } | undefined {
  const match = /^repos\/(.+)\/_blobs\/(sha256|sha512)\/([0-9a-f]+)$/.exec(key)
  const digest = match === null ? undefined : tryParseDigest(`${match[2]}:${match[3]}`)
  return digest === undefined ? undefined : { name: match![1]!, digest }
}
