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
 * Beside that: content that no blob points to, links to blobs that are gone, uploads that nobody goes on with, what removals of
 * manifests have left (and what pushes that died in the middle of one have broken), and, where it is asked for, manifests that
 * no tag reaches. A dry run goes the same way and only leaves the writes out.
 *
 * A store that is full takes no mark: then a condition on the deletion itself stands for it, until the first bytes are free.
 */
import {
  type Digest,
  decodeInfo,
  METAINFO_BYTES_MAX,
  MetainfoInvalidError,
  ShoalError,
  tryParseDigest,
} from '@shoal/core'
import { namedDescriptors } from '@shoal/oci'
import { readManifest } from '@shoal/service'
import { infoHashOf, type ObjectStore, readWhole, StorageFullError } from '@shoal/storage'
import type { GarbageReport } from '@shoal/wire'
import type { Logger } from 'pino'
import { linkOfKey } from './blob-checks.ts'
import type { BlobLibrary, StoredRecord } from './blob-library.ts'
import { type BlobVerdict, judgeBlob } from './blob-verdict.ts'
import { eachPage } from './each-page.ts'
import { GarbageLease } from './garbage-lease.ts'
import { decodeTagRecord, keys, MANIFEST_STORED_BYTES_MAX, RECORD_BYTES_MAX } from './layout.ts'
import type { ManifestChanges } from './manifest-changes.ts'
import { decodeSound, type Manifests } from './manifests.ts'
import { isRemovedTag, type Tags } from './tags.ts'
import { type SurveyedManifest, untaggedOf } from './untagged.ts'
import type { UploadSessions } from './upload-sessions.ts'

/** What a seeder of today reports; it leaves nothing out. */
export type WholeGarbageReport = Required<GarbageReport>

export type GarbageOutcome =
  | { readonly kind: 'done'; readonly report: WholeGarbageReport }
  /** Another replica is at it. */
  | { readonly kind: 'busy' }

export interface GarbageOptions {
  /** Only counts what would be removed. */
  readonly isDryRun: boolean
  /** Manifests that no tag reaches go as well, when nobody has pushed them or looked for them for so long. */
  readonly untaggedForMs?: number
  readonly signal?: AbortSignal
}

export interface GarbageParts {
  readonly objects: ObjectStore
  readonly blobs: BlobLibrary
  readonly manifests: Manifests
  readonly tags: Tags
  readonly changes: ManifestChanges
  readonly uploads: Pick<UploadSessions, 'sweepAbandoned'>
  readonly log: Logger
  readonly nowMs: () => number
  readonly newId: () => string
}

const READS_AT_ONCE = 16
/** What a writer has left that no upload knows of: older than any upload that is still going on. */
const WRITER_AGE_MS = 7 * 24 * 60 * 60 * 1000
const UNTAGGED_NAMED_MAX = 1_000

type Counts = Omit<WholeGarbageReport, 'untagged'>

/** A manifest that was removed, as it was read. */
interface RemovedManifest {
  readonly name: string
  readonly digest: Digest
  readonly etag: string
  readonly removedAtMs: number
}

/** Nobody can tell what it needs: nothing is removed until it is right again or gone. */
class ManifestDamagedError extends ShoalError {
  readonly code = 'MANIFEST_DAMAGED'
  readonly key: string

  constructor(key: string) {
    super(
      `the manifest ${key} is not what was pushed, and nobody can tell which blobs it needs; push its image again, or delete the manifest by its digest`,
    )
    this.key = key
  }
}

class LeaseLostError extends Error {}

export class GarbageCollector {
  readonly #parts: GarbageParts
  readonly #graceMs: number

  constructor(parts: GarbageParts, init: { graceMs: number }) {
    this.#parts = parts
    this.#graceMs = init.graceMs
  }

  async run(options: GarbageOptions): Promise<GarbageOutcome> {
    const lease = options.isDryRun ? undefined : await GarbageLease.take(this.#parts)
    if (lease === undefined && !options.isDryRun) return { kind: 'busy' }
    try {
      const run = new GarbageRun(this.#parts, { ...options, graceMs: this.#graceMs }, lease)
      return { kind: 'done', report: await run.report() }
    } catch (error) {
      if (error instanceof LeaseLostError) return { kind: 'busy' }
      throw error
    } finally {
      await lease?.release()
    }
  }
}

/** One run, and what it has seen. */
class GarbageRun {
  readonly #parts: GarbageParts
  readonly #init: GarbageOptions & { readonly graceMs: number }
  readonly #lease: GarbageLease | undefined
  readonly #leaseEndedBeforeMs: number
  readonly #startedAtMs: number
  readonly #counts: Counts
  readonly #untagged: WholeGarbageReport['untagged'] = []
  /** Keys of manifests that were read: their bytes never change. */
  readonly #read = new Set<string>()
  readonly #needed = new Set<Digest>()
  /** By key. */
  readonly #removedManifests = new Map<string, RemovedManifest>()
  #removedTags: string[] = []
  /** What says that a manifest is attached to another, as it is and as it should be. */
  readonly #referrers = new Set<string>()
  readonly #attached = new Map<string, { readonly name: string; readonly digest: Digest }>()
  /** Keys of manifests that this run has removed, or would. */
  readonly #goneManifests = new Set<string>()
  /** Blobs that could not be condemned for want of room, as they were then. */
  readonly #condemnedHere = new Map<Digest, string>()
  /** Every blob that is there after this run, and the keys of their content. */
  readonly #blobs = new Set<Digest>()
  readonly #contents = new Set<string>()
  /** Every blob that has a record, whatever it says. */
  readonly #recorded = new Set<Digest>()
  /** What this run has removed, or would. */
  readonly #goneBlobs = new Set<Digest>()
  readonly #goneContents = new Set<string>()

  constructor(
    parts: GarbageParts,
    init: GarbageOptions & { readonly graceMs: number },
    lease: GarbageLease | undefined,
  ) {
    this.#parts = parts
    this.#init = init
    this.#lease = lease
    this.#startedAtMs = parts.nowMs()
    this.#leaseEndedBeforeMs = this.#startedAtMs - init.graceMs
    this.#counts = {
      isDryRun: init.isDryRun,
      manifests: 0,
      removedManifests: 0,
      neededBlobs: 0,
      leasedBlobs: 0,
      removedBlobs: 0,
      removedBytes: 0,
      removedContents: 0,
      removedLinks: 0,
      abandonedUploads: 0,
    }
  }

  async report(): Promise<WholeGarbageReport> {
    const { untaggedForMs } = this.#init
    if (untaggedForMs !== undefined) await this.#removeUntagged(untaggedForMs)
    await this.#mark()
    await this.#eachBlob((digest, stored) => this.#condemn(digest, stored))
    await this.#mark()
    await this.#eachBlob((digest, stored) => this.#settle(digest, stored))
    await this.#removeContents()
    await this.#removeLinks()
    if (!this.#init.isDryRun) {
      await this.#removeLostMetainfo()
      await this.#tidyRecords()
    }
    this.#counts.abandonedUploads = await this.#parts.uploads.sweepAbandoned({
      isDryRun: this.#init.isDryRun,
    })
    if (!this.#init.isDryRun) await this.#parts.objects.sweepWriters(this.#startedAtMs - WRITER_AGE_MS)
    this.#parts.log.info({ event: 'garbage-collected', ...this.#counts }, 'garbage collected')
    return { ...this.#counts, untagged: this.#untagged }
  }

  // Manifests that no tag reaches.

  async #removeUntagged(untaggedForMs: number): Promise<void> {
    // As long as blobs at least: somebody may be about to give it a tag.
    const leasedBeforeMs = this.#startedAtMs - Math.max(untaggedForMs, this.#init.graceMs)
    let name: string | undefined
    let surveyed: SurveyedManifest[] = []
    const end = async () => {
      if (name !== undefined && surveyed.length > 0)
        await this.#removeUntaggedOf(name, surveyed, leasedBeforeMs)
      surveyed = []
    }
    for await (const page of eachPage(this.#parts.objects, keys.repositories)) {
      for (const key of page.keys) {
        const at = manifestOfKey(key)
        if (at === undefined) continue
        if (at.name !== name) await end()
        name = at.name
        const found = await this.#survey(at.name, at.digest)
        if (found !== undefined) surveyed.push(found)
      }
      await this.#goOn()
    }
    await end()
  }

  async #survey(name: string, digest: Digest): Promise<SurveyedManifest | undefined> {
    const stored = await this.#parts.manifests.read(name, digest)
    if (stored === undefined || stored.removedAtMs !== undefined || stored.isDamaged) return undefined
    const parsed = readManifest(stored.manifest.bytes, stored.manifest.mediaType)
    const children = parsed.kind === 'index' ? parsed.manifests.map((child) => child.digest) : []
    const subject = parsed.subject?.digest
    return { digest, children, leasedAtMs: stored.leasedAtMs, ...(subject === undefined ? {} : { subject }) }
  }

  async #removeUntaggedOf(
    name: string,
    surveyed: readonly SurveyedManifest[],
    leasedBeforeMs: number,
  ): Promise<void> {
    const { tags, changes, log } = this.#parts
    const tagged = new Set((await tags.digests(name)).keys())
    const going = untaggedOf(surveyed, tagged, leasedBeforeMs)
    const removed = this.#init.isDryRun ? going : await changes.removeUntagged(name, going, leasedBeforeMs)
    for (const digest of removed) {
      this.#goneManifests.add(keys.manifest(name, digest))
      this.#counts.removedManifests++
      if (this.#untagged.length < UNTAGGED_NAMED_MAX) this.#untagged.push({ repository: name, digest })
      if (!this.#init.isDryRun)
        log.info(
          { event: 'untagged-removed', repository: name, digest },
          'a manifest that no tag reaches was removed',
        )
    }
  }

  // Blobs.

  /**
   * Whoever names a blob keeps it, in whatever place and whether or not it would have to be here: a foreign layer may be, and
   * the `manifests` of a build cache are blobs.
   */
  async #mark(): Promise<void> {
    this.#removedTags = []
    this.#referrers.clear()
    await this.#eachKey(keys.repositories, async (key, length) => {
      if (key.includes('/_tags/') && isRemovedTag(length)) this.#removedTags.push(key)
      if (key.includes('/_referrers/') && !key.endsWith('/_indexed')) this.#referrers.add(key)
      const at = manifestOfKey(key)
      if (at !== undefined && !this.#read.has(key) && !this.#goneManifests.has(key))
        await this.#markManifest(key, at)
    })
    await this.#repairTags()
  }

  async #markManifest(key: string, { name, digest }: { name: string; digest: Digest }): Promise<void> {
    const object = await this.#parts.objects.read(key)
    if (object === undefined) return
    const { etag } = object
    const record = decodeSound(key, digest, await readWhole(key, object, MANIFEST_STORED_BYTES_MAX))
    if (record === undefined) throw new ManifestDamagedError(key)
    const { mediaType, bytes, removedAtMs } = record
    if (removedAtMs !== undefined) this.#removedManifests.set(key, { name, digest, etag, removedAtMs })
    else this.#markNamed(key, { name, digest }, bytes, mediaType)
  }

  #markNamed(
    key: string,
    { name, digest }: { readonly name: string; readonly digest: Digest },
    bytes: Uint8Array,
    mediaType: string,
  ): void {
    // A manifest that cannot be read ends the run: nobody could tell what it needs.
    const manifest = readManifest(bytes, mediaType)
    this.#read.add(key)
    this.#removedManifests.delete(key)
    this.#counts.manifests++
    for (const named of namedDescriptors(manifest)) this.#needed.add(named.digest)
    const subject = manifest.subject?.digest
    if (subject !== undefined) this.#attached.set(keys.referrer(name, subject, digest), { name, digest })
  }

  /** A push that died after it had written a tag: what it points to may be removed, and is taken back. */
  async #repairTags(): Promise<void> {
    const { tags, changes, manifests } = this.#parts
    for (const name of new Set([...this.#removedManifests.values()].map((removed) => removed.name))) {
      const tagged = await tags.digests(name)
      for (const [key, removed] of this.#removedManifests) {
        if (removed.name !== name || !tagged.has(removed.digest)) continue
        const manifest = this.#init.isDryRun
          ? (await manifests.read(name, removed.digest))?.manifest
          : await changes.revive(name, removed.digest)
        if (manifest !== undefined) this.#markNamed(key, removed, manifest.bytes, manifest.mediaType)
      }
    }
  }

  async #condemn(digest: Digest, stored: StoredRecord): Promise<void> {
    if (this.#judge(digest, stored) !== 'condemn' || this.#init.isDryRun) return
    const condemned = { ...stored.record, condemnedAtMs: this.#parts.nowMs() }
    try {
      await this.#parts.blobs.replace(digest, stored.etag, condemned)
    } catch (error) {
      if (!(error instanceof StorageFullError)) throw error
      this.#condemnedHere.set(digest, stored.etag)
    }
  }

  async #settle(digest: Digest, stored: StoredRecord): Promise<void> {
    this.#recorded.add(digest)
    const { record } = stored
    const verdict = this.#judge(digest, stored)
    const isCondemned =
      verdict === 'condemn' && (this.#init.isDryRun || this.#condemnedHere.get(digest) === stored.etag)
    if ((verdict === 'remove' || isCondemned) && (await this.#remove(digest, stored))) {
      this.#goneBlobs.add(digest)
      this.#goneContents.add(record.contentKey)
      this.#counts.removedBlobs++
      this.#counts.removedBytes += record.length
      return
    }
    if (verdict === 'bury') {
      this.#goneContents.add(record.contentKey)
      if (!this.#init.isDryRun) await this.#bury(digest, stored)
    }
    if (verdict === 'bury' || verdict === 'gone') return
    if (verdict === 'rescue' && !this.#init.isDryRun) await this.#rescue(digest, stored)
    this.#blobs.add(digest)
    this.#contents.add(record.contentKey)
    if (this.#needed.has(digest)) this.#counts.neededBlobs++
    else this.#counts.leasedBlobs++
  }

  #judge(digest: Digest, { record }: StoredRecord): BlobVerdict {
    return judgeBlob(record, {
      isNeeded: this.#needed.has(digest),
      leaseEndedBeforeMs: this.#leaseEndedBeforeMs,
    })
  }

  async #rescue(digest: Digest, { record, etag }: StoredRecord): Promise<void> {
    const { condemnedAtMs: _, ...kept } = record
    try {
      await this.#parts.blobs.replace(digest, etag, kept)
    } catch (error) {
      // The next run comes by again, and finds it needed again.
      if (!(error instanceof StorageFullError)) throw error
    }
  }

  /** @returns false when somebody took the blob back */
  async #remove(digest: Digest, stored: StoredRecord): Promise<boolean> {
    if (this.#init.isDryRun) return true
    const { objects, blobs, log, nowMs } = this.#parts
    const { record } = stored
    if (!(await blobs.remove(digest, stored, nowMs()))) return false
    await objects.delete(record.contentKey)
    log.info({ event: 'blob-removed', digest, bytes: record.length }, 'blob removed')
    return true
  }

  async #bury(digest: Digest, { record, etag }: StoredRecord): Promise<void> {
    const { objects } = this.#parts
    await objects.delete(record.contentKey)
    await objects.deleteIf(keys.blob(digest), etag)
    await this.#removeMetainfo(digest, record.infoHash)
  }

  /** It is put back when somebody has made the blob anew at this very moment: it is the same for the same bytes. */
  async #removeMetainfo(digest: Digest, infoHash: string): Promise<void> {
    const { objects, blobs } = this.#parts
    const metainfoKeys = [keys.torrent(digest), keys.swarm(infoHash)]
    const kept = await Promise.all(
      metainfoKeys.map(async (key) => {
        const object = await objects.read(key)
        return object && (await readWhole(key, object, Number.POSITIVE_INFINITY))
      }),
    )
    for (const key of metainfoKeys) await objects.delete(key)
    if ((await blobs.readRecord(digest)) === undefined) return
    for (const [index, key] of metainfoKeys.entries())
      if (kept[index] !== undefined) await objects.put(key, kept[index])
  }

  /** What a push left that died before its blob was there, or a full store. */
  async #removeLostMetainfo(): Promise<void> {
    const { objects, blobs } = this.#parts
    await this.#eachKey(keys.torrents, async (key) => {
      const digest = tryParseDigest(key.slice(keys.torrents.length).replace('-', ':'))
      if (digest === undefined || this.#recorded.has(digest)) return
      const object = await objects.read(key)
      if (object === undefined) return
      const info = await readWhole(key, object, METAINFO_BYTES_MAX)
      if (object.modifiedAtMs >= this.#leaseEndedBeforeMs) return
      if ((await blobs.readRecord(digest)) !== undefined) return
      try {
        await this.#removeMetainfo(digest, infoHashOf(decodeInfo(info)))
      } catch (error) {
        // Nobody knows which info hash it had, so that pointer stays; it does no harm.
        if (!(error instanceof MetainfoInvalidError)) throw error
      }
    })
  }

  async #removeContents(): Promise<void> {
    const { objects } = this.#parts
    await this.#eachKey(keys.contents, async (key) => {
      if (this.#contents.has(key) || this.#goneContents.has(key)) return
      const stat = await objects.stat(key)
      if (stat === undefined || stat.modifiedAtMs >= this.#leaseEndedBeforeMs) return
      // An upload that rests between two requests.
      if ((await objects.stat(keys.upload(key.slice(keys.contents.length)))) !== undefined) return
      if (!this.#init.isDryRun) await objects.delete(key)
      this.#counts.removedContents++
    })
  }

  async #removeLinks(): Promise<void> {
    const { objects } = this.#parts
    await this.#eachKey(keys.repositories, async (key) => {
      const digest = linkOfKey(key)?.digest
      if (digest === undefined || this.#blobs.has(digest)) return
      const stat = await objects.stat(key)
      if (stat === undefined || stat.modifiedAtMs >= this.#leaseEndedBeforeMs) return
      // Pushed since the blobs were looked through.
      if (await this.#isThere(digest)) return
      // Who pushes it at this very moment writes the link anew.
      if (this.#init.isDryRun || (await objects.deleteIf(key, stat.etag))) this.#counts.removedLinks++
    })
  }

  async #isThere(digest: Digest): Promise<boolean> {
    if (this.#goneBlobs.has(digest)) return false
    const stored = await this.#parts.blobs.readRecord(digest)
    return stored !== undefined && stored.record.removedAtMs === undefined
  }

  // What removals of manifests leave.

  async #tidyRecords(): Promise<void> {
    const { objects, manifests, changes } = this.#parts
    for (const { name, digest, etag, removedAtMs } of this.#removedManifests.values())
      if (removedAtMs < this.#leaseEndedBeforeMs) await manifests.bury(name, digest, etag)
    for (const key of this.#removedTags) {
      const object = await objects.read(key)
      const record = object && decodeTagRecord(key, await readWhole(key, object, RECORD_BYTES_MAX))
      if (record !== undefined && 'removedAtMs' in record && record.removedAtMs < this.#leaseEndedBeforeMs)
        await objects.deleteIf(key, object!.etag)
    }
    for (const key of this.#referrers) {
      if (this.#attached.has(key)) continue
      const stat = await objects.stat(key)
      if (stat !== undefined && stat.modifiedAtMs < this.#leaseEndedBeforeMs)
        await objects.deleteIf(key, stat.etag)
    }
    for (const [key, { name, digest }] of this.#attached)
      if (!this.#referrers.has(key)) await changes.attachAgain(name, digest)
  }

  async #eachBlob(work: (digest: Digest, stored: StoredRecord) => Promise<void>): Promise<void> {
    await this.#eachKey(keys.blobs, async (key) => {
      const [, algorithm, , hex] = key.split('/')
      const digest = tryParseDigest(`${algorithm}:${hex}`)
      const stored = digest && (await this.#parts.blobs.readRecord(digest))
      if (digest !== undefined && stored !== undefined) await work(digest, stored)
    })
  }

  async #eachKey(
    prefix: string,
    work: (key: string, length: number | undefined) => Promise<void>,
  ): Promise<void> {
    const options = { withLengths: prefix === keys.repositories }
    for await (const { keys: found, lengths } of eachPage(this.#parts.objects, prefix, options)) {
      for (let first = 0; first < found.length; first += READS_AT_ONCE) {
        await this.#goOn()
        const some = found.slice(first, first + READS_AT_ONCE)
        await Promise.all(some.map((key, index) => work(key, lengths?.[first + index])))
      }
    }
  }

  async #goOn(): Promise<void> {
    this.#init.signal?.throwIfAborted()
    if ((await this.#lease?.renew()) === false) throw new LeaseLostError('another run has taken over')
  }
}

function manifestOfKey(key: string): { readonly name: string; readonly digest: Digest } | undefined {
  const match = /^repos\/(.+)\/_manifests\/(sha256|sha512)\/([0-9a-f]+)$/.exec(key)
  const digest = match === null ? undefined : tryParseDigest(`${match[2]}:${match[3]}`)
  return digest === undefined ? undefined : { name: match![1]!, digest }
}
