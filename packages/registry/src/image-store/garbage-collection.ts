/**
 * Removes blobs that no manifest needs, while pushes go on.
 *
 * A push tells the store what it relies on before its manifest is there: whoever uploads a blob, mounts it, finds it by HEAD
 * or names it in a manifest renews its lease (`BlobLibrary.lease`) when that is older than half the grace. So a blob whose
 * lease ran out a grace before the manifests were looked through, and which none of them names, is needed by nobody.
 *
 * 1. Mark: every manifest of every repository is read, and what it names is kept.
 * 2. Condemn what is not marked and has no lease, by a conditional write: a push that came first makes it fail, one that
 *    comes later sees it and takes it back.
 * 3. Look again: what has been pushed meanwhile is marked as well.
 * 4. Remove what is condemned and still not marked: first the record says so, again by a conditional write, then the
 *    content goes. Pushes of the same bytes make a new blob with content of its own.
 * 5. A grace later the record goes too, with the metainfo; until then nobody can mistake it for one that never was.
 *
 * Beside that: content that no blob points to, links to blobs that are gone, and uploads that nobody goes on with.
 */
import { type Digest, tryParseDigest } from '@shoal/core'
import { namedDescriptors } from '@shoal/oci'
import { type ObjectStore, readWhole } from '@shoal/storage'
import type { Logger } from 'pino'
import { readManifest } from '../manifest-text.ts'
import type { BlobLibrary, StoredBlob } from './blob-library.ts'
import { type BlobVerdict, judgeBlob } from './blob-verdict.ts'
import { decodeManifest, keys, MANIFEST_STORED_BYTES_MAX } from './layout.ts'
import type { UploadSessions } from './upload-sessions.ts'

export interface GarbageReport {
  readonly isDryRun: boolean
  readonly manifests: number
  /** Blobs that a manifest names. */
  readonly neededBlobs: number
  /** Blobs that nothing names, and that somebody may be about to name. */
  readonly leasedBlobs: number
  readonly removedBlobs: number
  readonly removedBytes: number
  /** Content that no blob pointed to. */
  readonly removedContents: number
  readonly removedLinks: number
  readonly abandonedUploads: number
}

export type GarbageOutcome =
  | { readonly kind: 'done'; readonly report: GarbageReport }
  /** Another replica is at it. */
  | { readonly kind: 'busy' }

export interface GarbageParts {
  readonly objects: ObjectStore
  readonly blobs: BlobLibrary
  readonly uploads: Pick<UploadSessions, 'sweepAbandoned'>
  readonly log: Logger
  readonly nowMs: () => number
}

const LIST_KEYS_MAX = 1_000
const READS_AT_ONCE = 16
/** A run that has not ended after this long is taken for dead. */
const RUN_MS_MAX = 6 * 60 * 60 * 1000
/** What a writer has left that no upload knows of: older than any upload that is still going on. */
const WRITER_AGE_MS = 7 * 24 * 60 * 60 * 1000

type Counts = { -readonly [K in keyof GarbageReport]: GarbageReport[K] }

export class GarbageCollector {
  readonly #parts: GarbageParts
  readonly #graceMs: number

  constructor(parts: GarbageParts, init: { graceMs: number }) {
    this.#parts = parts
    this.#graceMs = init.graceMs
  }

  /** @param options.isDryRun only counts what would be removed */
  async run(options: { isDryRun: boolean; signal?: AbortSignal }): Promise<GarbageOutcome> {
    const lease = options.isDryRun ? 'none' : await this.#take()
    if (lease === undefined) return { kind: 'busy' }
    try {
      const run = new GarbageRun(this.#parts, { ...options, graceMs: this.#graceMs })
      return { kind: 'done', report: await run.report() }
    } finally {
      if (lease !== 'none') await this.#parts.objects.deleteIf(keys.garbageLease, lease)
    }
  }

  /** @returns the lease's tag; undefined while another run goes on */
  async #take(): Promise<string | undefined> {
    const { objects, nowMs } = this.#parts
    const until = Buffer.from(JSON.stringify({ version: 1, untilMs: nowMs() + RUN_MS_MAX }))
    const taken = await objects.put(keys.garbageLease, until, { ifAbsent: true })
    if (taken.kind === 'stored') return taken.etag
    const held = await objects.read(keys.garbageLease)
    if (held === undefined) return this.#take()
    const { untilMs } = JSON.parse(Buffer.from(await readWhole(keys.garbageLease, held, 1_024)).toString())
    if (untilMs > nowMs()) return undefined
    const taker = await objects.put(keys.garbageLease, until, { ifMatch: held.etag })
    return taker.kind === 'stored' ? taker.etag : undefined
  }
}

/** One run, and what it has seen. */
class GarbageRun {
  readonly #parts: GarbageParts
  readonly #init: { readonly isDryRun: boolean; readonly graceMs: number; readonly signal?: AbortSignal }
  readonly #startedAtMs: number
  readonly #counts: Counts
  /** Keys of manifests that were read: their bytes never change. */
  readonly #read = new Set<string>()
  readonly #needed = new Set<Digest>()
  /** Every blob that is there after this run, and the keys of their content. */
  readonly #blobs = new Set<Digest>()
  readonly #contents = new Set<string>()

  constructor(
    parts: GarbageParts,
    init: { readonly isDryRun: boolean; readonly graceMs: number; readonly signal?: AbortSignal },
  ) {
    this.#parts = parts
    this.#init = init
    this.#startedAtMs = parts.nowMs()
    this.#counts = {
      isDryRun: init.isDryRun,
      manifests: 0,
      neededBlobs: 0,
      leasedBlobs: 0,
      removedBlobs: 0,
      removedBytes: 0,
      removedContents: 0,
      removedLinks: 0,
      abandonedUploads: 0,
    }
  }

  async report(): Promise<GarbageReport> {
    await this.#mark()
    await this.#eachBlob((digest, stored) => this.#condemn(digest, stored))
    await this.#mark()
    await this.#eachBlob((digest, stored) => this.#settle(digest, stored))
    await this.#removeContents()
    await this.#removeLinks()
    if (!this.#init.isDryRun) {
      this.#counts.abandonedUploads = await this.#parts.uploads.sweepAbandoned()
      await this.#parts.objects.sweepWriters(this.#startedAtMs - WRITER_AGE_MS)
    }
    this.#parts.log.info({ event: 'garbage-collected', ...this.#counts }, 'garbage collected')
    return this.#counts
  }

  /**
   * Whoever names a blob keeps it, in whatever place and whether or not it would have to be here: a foreign layer may be, and
   * the `manifests` of a build cache are blobs.
   */
  async #mark(): Promise<void> {
    const { objects } = this.#parts
    await this.#eachKey(keys.repositories, async (key) => {
      if (!key.includes('/_manifests/') || this.#read.has(key)) return
      const object = await objects.read(key)
      if (object === undefined) return
      const { mediaType, bytes } = decodeManifest(
        key,
        await readWhole(key, object, MANIFEST_STORED_BYTES_MAX),
      )
      // A manifest that cannot be read ends the run: nobody could tell what it needs.
      const manifest = readManifest(bytes, mediaType)
      this.#read.add(key)
      this.#counts.manifests++
      for (const { digest } of namedDescriptors(manifest)) this.#needed.add(digest)
    })
  }

  async #condemn(digest: Digest, stored: StoredBlob): Promise<void> {
    if (this.#judge(digest, stored) !== 'condemn' || this.#init.isDryRun) return
    await this.#parts.blobs.replace(digest, stored.etag, {
      ...stored.record,
      condemnedAtMs: this.#parts.nowMs(),
    })
  }

  async #settle(digest: Digest, stored: StoredBlob): Promise<void> {
    const { record } = stored
    const { isDryRun } = this.#init
    const verdict = this.#judge(digest, stored)
    const isRemovedNow = verdict === 'remove' || (verdict === 'condemn' && isDryRun)
    if (isRemovedNow && (isDryRun || (await this.#remove(digest, stored)))) {
      this.#counts.removedBlobs++
      this.#counts.removedBytes += record.length
      return
    }
    if (verdict === 'bury' && !isDryRun) await this.#bury(digest, stored)
    if (verdict === 'bury' || verdict === 'gone') return
    if (verdict === 'rescue' && !isDryRun) {
      const { condemnedAtMs: _, ...kept } = record
      await this.#parts.blobs.replace(digest, stored.etag, kept)
    }
    this.#blobs.add(digest)
    this.#contents.add(record.contentKey)
    if (this.#needed.has(digest)) this.#counts.neededBlobs++
    else this.#counts.leasedBlobs++
  }

  #judge(digest: Digest, { record }: StoredBlob): BlobVerdict {
    return judgeBlob(record, {
      isNeeded: this.#needed.has(digest),
      leaseEndedBeforeMs: this.#startedAtMs - this.#init.graceMs,
    })
  }

  /** @returns false when somebody took the blob back */
  async #remove(digest: Digest, { record, etag }: StoredBlob): Promise<boolean> {
    const { objects, blobs, log, nowMs } = this.#parts
    if (!(await blobs.replace(digest, etag, { ...record, removedAtMs: nowMs() }))) return false
    blobs.forget(digest, record.infoHash)
    await objects.delete(record.contentKey)
    log.info({ event: 'blob-removed', digest, bytes: record.length }, 'blob removed')
    return true
  }

  /** The metainfo is put back when somebody has made the blob anew at this very moment: it is the same for the same bytes. */
  async #bury(digest: Digest, { record, etag }: StoredBlob): Promise<void> {
    const { objects, blobs } = this.#parts
    const metainfoKeys = [keys.torrent(digest), keys.swarm(record.infoHash)]
    const kept = await Promise.all(
      metainfoKeys.map(async (key) => {
        const object = await objects.read(key)
        return object && (await readWhole(key, object, Number.POSITIVE_INFINITY))
      }),
    )
    await objects.delete(record.contentKey)
    await objects.deleteIf(keys.blob(digest), etag)
    for (const key of metainfoKeys) await objects.delete(key)
    if ((await blobs.readRecord(digest)) === undefined) return
    for (const [index, key] of metainfoKeys.entries())
      if (kept[index] !== undefined) await objects.put(key, kept[index])
  }

  async #removeContents(): Promise<void> {
    const { objects } = this.#parts
    await this.#eachKey(keys.contents, async (key) => {
      if (this.#contents.has(key)) return
      const stat = await objects.stat(key)
      if (stat === undefined || stat.modifiedAtMs >= this.#startedAtMs - this.#init.graceMs) return
      // An upload that rests between two requests.
      if ((await objects.stat(keys.upload(key.slice(keys.contents.length)))) !== undefined) return
      if (!this.#init.isDryRun) await objects.delete(key)
      this.#counts.removedContents++
    })
  }

  async #removeLinks(): Promise<void> {
    const { objects } = this.#parts
    await this.#eachKey(keys.repositories, async (key) => {
      const digest = digestOfLink(key)
      if (digest === undefined || this.#blobs.has(digest)) return
      const stat = await objects.stat(key)
      if (stat === undefined || stat.modifiedAtMs >= this.#startedAtMs - this.#init.graceMs) return
      // Pushed since the blobs were looked through.
      if (await this.#isThere(digest)) return
      // Who pushes it at this very moment writes the link anew.
      if (this.#init.isDryRun || (await objects.deleteIf(key, stat.etag))) this.#counts.removedLinks++
    })
  }

  async #isThere(digest: Digest): Promise<boolean> {
    const stored = await this.#parts.blobs.readRecord(digest)
    return stored !== undefined && stored.record.removedAtMs === undefined
  }

  async #eachBlob(work: (digest: Digest, stored: StoredBlob) => Promise<void>): Promise<void> {
    await this.#eachKey(keys.blobs, async (key) => {
      const [, algorithm, , hex] = key.split('/')
      const digest = tryParseDigest(`${algorithm}:${hex}`)
      const stored = digest && (await this.#parts.blobs.readRecord(digest))
      if (digest !== undefined && stored !== undefined) await work(digest, stored)
    })
  }

  async #eachKey(prefix: string, work: (key: string) => Promise<void>): Promise<void> {
    let after: string | undefined
    do {
      const page = await this.#parts.objects.list(prefix, {
        keysMax: LIST_KEYS_MAX,
        ...(after === undefined ? {} : { after }),
      })
      for (let first = 0; first < page.keys.length; first += READS_AT_ONCE) {
        this.#init.signal?.throwIfAborted()
        await Promise.all(page.keys.slice(first, first + READS_AT_ONCE).map(work))
      }
      after = page.next
    } while (after !== undefined)
  }
}

function digestOfLink(key: string): Digest | undefined {
  const match = /\/_blobs\/(sha256|sha512)\/([0-9a-f]+)$/.exec(key)
  return match === null ? undefined : tryParseDigest(`${match[1]}:${match[2]}`)
}
