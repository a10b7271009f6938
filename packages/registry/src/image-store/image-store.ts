/**
 * Images over an {@link ObjectStore}: the seeder's side of the registry, pull and push. The layout is in `layout.ts`.
 *
 * A pushed blob is hashed while it arrives and written once, to the place where it stays. It becomes readable by one
 * conditional create, after its metainfo is there. The object store is the database; everything held here can be lost.
 */
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Digest, digestAlgorithm } from '@shoal/core'
import type { BlobStat, Manifest, TagsPage } from '@shoal/oci'
import { childManifests, listedBlobs, OciError, type ParsedManifest } from '@shoal/oci'
import { readManifest } from '@shoal/service'
import type { ByteRange, ObjectRead, ObjectStore } from '@shoal/storage'
import type { Logger } from 'pino'
import type {
  Reference,
  ReferrersPage,
  RegistryBackend,
  RegistryPush,
  RegistryRemove,
  RepositoriesPage,
  StoredManifest,
  UploadChunk,
  UploadStatus,
} from '../backend.ts'
import { BlobChecks, type ScrubOptions, type ScrubReport } from './blob-checks.ts'
import { BlobHasher, type HashedBlob } from './blob-hasher.ts'
import { BlobLibrary, type BlobMetainfo } from './blob-library.ts'
import { ContentChangedError } from './errors.ts'
import { GarbageCollector, type GarbageOptions, type GarbageOutcome } from './garbage-collection.ts'
import type { BlobRecord, TagRecord } from './layout.ts'
import { ManifestChanges } from './manifest-changes.ts'
import { checkManifest } from './manifest-check.ts'
import { Manifests } from './manifests.ts'
import { Referrers } from './referrers.ts'
import { Repositories } from './repositories.ts'
import { Tags } from './tags.ts'
import type { UploadSession, UploadWatcher } from './upload-session.ts'
import { type UploadLimits, UploadSessions } from './upload-sessions.ts'

const LEASES_AT_ONCE = 16

export interface ImageStoreParts {
  readonly objects: ObjectStore
  readonly log: Logger
  readonly nowMs: () => number
  /** Unguessable, of `A–Z a–z 0–9 _ -`: names an upload and the object that it writes. */
  readonly newId: () => string
  /** Waits; replaced in tests, so that they need not. */
  readonly pause?: (ms: number) => Promise<void>
}

/** Listeners must not throw. */
export interface ImageStoreEvents {
  /** A manifest was pushed. */
  'manifest-stored': [repository: string, reference: Reference, digest: Digest]
  /** An upload ended with a blob, whether or not the store had it before. */
  'blob-stored': [stat: BlobStat, blob: BlobMetainfo]
  /** A blob's content was found not to be what was pushed. */
  'blob-damaged': [digest: Digest]
  /** A blob's damaged content was replaced: what was read of it before is not it. */
  'blob-replaced': [digest: Digest]
}

/** Asked whether somebody watches a blob on its way in, whose digest and length are known from the start. Must not throw. */
export type WatchUpload = (
  repository: string,
  digest: Digest,
  length: number,
) => Promise<UploadWatcher | undefined>

export interface ImageStoreLimits extends UploadLimits {
  /**
   * How long garbage collection keeps what nothing refers to. Longer than the longest push takes from its first blob to its
   * manifest.
   */
  readonly graceMs: number
}

export const IMAGE_STORE_LIMITS: ImageStoreLimits = {
  // Those that the registry's routes let in, those of other registries, and some that rest.
  uploadsMax: 256,
  uploadIdleMs: 60 * 60 * 1000,
  uploadAbandonedMs: 24 * 60 * 60 * 1000,
  // A push rests for moments: 200 that begin their five layers at once, behind one address.
  uploadsRestingMax: 4_096,
  uploadsRestingPerAddressMax: 1_024,
  graceMs: 24 * 60 * 60 * 1000,
}

export class ImageStore
  extends EventEmitter<ImageStoreEvents>
  implements RegistryBackend, RegistryPush, RegistryRemove
{
  readonly push: RegistryPush = this
  readonly remove: RegistryRemove = this
  readonly #blobs: BlobLibrary
  readonly #checks: BlobChecks
  readonly #repositories: Repositories
  readonly #manifests: Manifests
  readonly #tags: Tags
  readonly #changes: ManifestChanges
  readonly #referrers: Referrers
  readonly #uploads: UploadSessions
  readonly #garbage: GarbageCollector
  readonly #limits: ImageStoreLimits
  #watchUpload: WatchUpload = async () => undefined
  #sweeping: NodeJS.Timeout | undefined

  readonly #parts: ImageStoreParts

  constructor(parts: ImageStoreParts, limits: Partial<ImageStoreLimits> = {}) {
    super()
    this.#parts = parts
    this.#limits = { ...IMAGE_STORE_LIMITS, ...limits }
    const leaseMs = this.#limits.graceMs / 2
    this.#blobs = new BlobLibrary(parts, { leaseMs })
    this.#checks = new BlobChecks({
      ...parts,
      blobs: this.#blobs,
      onDamaged: (digest) => this.emit('blob-damaged', digest),
    })
    this.#repositories = new Repositories(parts, { leaseMs })
    const manifests = new Manifests(parts, { leaseMs })
    this.#manifests = manifests
    this.#tags = new Tags(parts)
    this.#referrers = new Referrers({
      objects: parts.objects,
      manifestDigests: (name) => manifests.digests(name),
      manifest: (name, digest) => manifests.get(name, digest),
      nowMs: parts.nowMs,
    })
    const pause = parts.pause ?? ((ms) => sleep(ms))
    this.#changes = new ManifestChanges({
      pause,
      ...parts,
      manifests,
      tags: this.#tags,
      referrers: this.#referrers,
    })
    this.#uploads = new UploadSessions(parts, this.#limits)
    this.#garbage = new GarbageCollector(
      {
        ...parts,
        blobs: this.#blobs,
        manifests,
        tags: this.#tags,
        changes: this.#changes,
        uploads: this.#uploads,
      },
      { graceMs: this.#limits.graceMs },
    )
  }

  /** Has blobs on their way in watched, from the next upload on. */
  watchUploads(watchUpload: WatchUpload): void {
    this.#watchUpload = watchUpload
  }

  /** Begins to sweep idle uploads. The object store is started and stopped by whoever made it. */
  async start(): Promise<void> {
    const sweep = () =>
      this.sweepUploads().catch((err: unknown) =>
        this.#parts.log.warn({ event: 'sweep-failed', err }, 'uploads could not be swept; it is tried again'),
      )
    this.#sweeping = setInterval(() => void sweep(), this.#limits.uploadIdleMs / 4)
    this.#sweeping.unref()
  }

  /** Lets go of every upload; they can be gone on with after a restart. */
  async stop(): Promise<void> {
    clearInterval(this.#sweeping)
    await this.#uploads.releaseAll()
  }

  /** Lets go of uploads that rest, and gives up those that have rested for too long. */
  async sweepUploads(): Promise<void> {
    await this.#uploads.sweepHeld()
    await this.#uploads.sweepAbandoned()
  }

  get uploadCount(): number {
    return this.#uploads.count
  }

  /** Removes what nobody needs; safe while pushes go on. */
  collectGarbage(options: GarbageOptions): Promise<GarbageOutcome> {
    return this.#garbage.run(options)
  }

  /** Reads the content of every blob and compares it with its digest; what is damaged can be pushed again. */
  scrub(options: ScrubOptions = {}): Promise<ScrubReport> {
    return this.#checks.scrub(options)
  }

  // What the seeder needs beyond the registry's routes.

  /** Whether the content of a blob is there, as far as its length tells, whatever the repository. */
  async hasContent(digest: Digest): Promise<boolean> {
    const record = await this.#blobs.record(digest)
    return record !== undefined && (await this.#checks.isThere(digest, record))
  }

  /** Somebody read a blob's content and it was not what its metainfo says, or nothing. */
  suspect(digest: Digest): void {
    this.#checks.suspect(digest)
  }

  /** @returns undefined when there is no such blob */
  metainfo(digest: Digest): Promise<BlobMetainfo | undefined> {
    return this.#blobs.metainfo(digest)
  }

  /** @param infoHash 40 lower-case hexadecimal digits */
  digestOfInfoHash(infoHash: string): Promise<Digest | undefined> {
    return this.#blobs.digestOfInfoHash(infoHash)
  }

  /** Where the blob's bytes lie in the object store, for reading pieces and for presigned URLs. */
  async contentLocation(
    digest: Digest,
  ): Promise<{ readonly key: string; readonly length: number } | undefined> {
    const record = await this.#blobs.record(digest)
    return record && { key: record.contentKey, length: record.length }
  }

  // Pull.

  async tags(repository: string, page: { tagsMax: number; after?: string }): Promise<TagsPage | undefined> {
    if (page.tagsMax > 0) {
      const found = await this.#tags.page(repository, page)
      if (found.tags.length > 0) return found
    }
    return (await this.#repositories.exists(repository)) ? { tags: [], more: false } : undefined
  }

  repositories(page: { readonly countMax: number; readonly after?: string }): Promise<RepositoriesPage> {
    return this.#repositories.page(page)
  }

  hasRepository(repository: string): Promise<boolean> {
    return this.#repositories.exists(repository)
  }

  async manifest(
    repository: string,
    reference: Reference,
    purpose: 'look' | 'pull' = 'pull',
  ): Promise<Manifest | undefined> {
    if (reference.kind === 'tag') return this.#changes.tagged(repository, reference.tag)
    // Who only looks is about to push something that names it, and will not send it if it is here.
    return purpose === 'look'
      ? this.#manifests.lease(repository, reference.digest)
      : this.#manifests.get(repository, reference.digest)
  }

  async blobStat(
    repository: string,
    digest: Digest,
    purpose: 'look' | 'pull',
  ): Promise<BlobStat | undefined> {
    if (purpose === 'pull') {
      const record =
        (await this.#repositories.hasBlob(repository, digest)) && (await this.#blobs.record(digest))
      return record ? { digest, length: record.length } : undefined
    }
    // Who only looks is about to push an image that needs the blob, and will not send it if it is here.
    const record =
      (await this.#repositories.leaseBlob(repository, digest)) && (await this.#leaseContent(digest))
    return record ? { digest, length: record.length } : undefined
  }

  /** A record is not the content. */
  async #leaseContent(digest: Digest): Promise<BlobRecord | undefined> {
    const record = await this.#blobs.lease(digest)
    return record && (await this.#checks.isThere(digest, record)) ? record : undefined
  }

  referrers(
    repository: string,
    subject: Digest,
    query: { readonly artifactType?: string; readonly after?: string },
  ): Promise<ReferrersPage> {
    return this.#referrers.page(repository, subject, query)
  }

  async *readBlob(
    repository: string,
    digest: Digest,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    if ((await this.blobStat(repository, digest, 'pull')) === undefined) throw blobUnknown(digest)
    yield* this.readContent(digest, range, signal)
  }

  /** The blob's bytes from the object store, whatever the repository. */
  async *readContent(digest: Digest, range: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const object = await this.openContent(digest, range, signal)
    if (object === undefined) throw blobUnknown(digest)
    yield* object.body
  }

  /** @returns undefined when there is no such blob */
  async openContent(digest: Digest, range: ByteRange, signal?: AbortSignal): Promise<ObjectRead | undefined> {
    for (;;) {
      const record = await this.#blobs.record(digest)
      if (record === undefined) return undefined
      const object = await this.#parts.objects.read(record.contentKey, {
        range,
        ...(signal ? { signal } : {}),
      })
      if (object !== undefined) return object
      // Removed and pushed again by way of another replica: the same bytes are in another place now.
      this.#blobs.forget(digest, record.infoHash)
      if ((await this.#blobs.record(digest))?.contentKey === record.contentKey) return undefined
    }
  }

  // Push.

  async startUpload(
    repository: string,
    init: Parameters<RegistryPush['startUpload']>[1],
  ): Promise<UploadStatus> {
    const session = await this.#uploads.begin(repository, {
      ...(init.from === undefined ? {} : { from: init.from }),
      ...(init.isOneRequest === undefined ? {} : { isOneRequest: init.isOneRequest }),
      ...(init.algorithm === undefined ? {} : { algorithm: init.algorithm }),
      ...(init.bytesExpected === undefined ? {} : { blobBytes: init.bytesExpected }),
    })
    return session.status
  }

  async uploadStatus(repository: string, id: string): Promise<UploadStatus | undefined> {
    return (await this.#uploads.get(repository, id))?.status
  }

  async appendUpload(
    repository: string,
    id: string,
    body: AsyncIterable<Uint8Array>,
    chunk: UploadChunk = {},
  ): Promise<UploadStatus> {
    // Finished at once: nobody needs to find it as it is now.
    const keep = chunk.isLast === true ? 'if-it-fails' : 'always'
    const append = async (session: UploadSession) => {
      const { digest, blobBytes = session.init.blobBytes } = chunk
      if (session.received === 0 && digest !== undefined && blobBytes !== undefined)
        session.watcher = await this.#watchUpload(repository, digest, blobBytes)
      await session.append(body, chunk)
      return session.status
    }
    return this.#uploads.use(repository, id, keep, append, chunk.from)
  }

  async finishUpload(repository: string, id: string, digest: Digest): Promise<BlobStat> {
    return this.#uploads.use(repository, id, 'never', async (session) => {
      try {
        return await this.#finish(repository, session, digest)
      } catch (error) {
        await this.#uploads.drop(session)
        throw error
      }
    })
  }

  async cancelUpload(repository: string, id: string): Promise<boolean> {
    const session = await this.#uploads.find(repository, id)
    if (session === undefined) return false
    await this.#uploads.drop(session)
    return true
  }

  async mountBlob(
    repository: string,
    digest: Digest,
    from: string | undefined,
  ): Promise<BlobStat | undefined> {
    if (from !== undefined && !(await this.#repositories.hasBlob(from, digest))) return undefined
    const record = await this.#leaseContent(digest)
    if (record === undefined) return undefined
    await this.#repositories.linkBlob(repository, digest)
    return { digest, length: record.length }
  }

  async putManifest(
    repository: string,
    reference: Reference,
    mediaType: string,
    bytes: Uint8Array,
    tags: readonly string[] = [],
  ): Promise<StoredManifest> {
    const manifest = await checkManifest(reference, mediaType, bytes, async (blob) => {
      return (await this.blobStat(repository, blob, 'look'))?.length
    })
    const { digest, length, parsed } = manifest
    await this.#leaseListed(repository, parsed)
    const subject = parsed.subject?.digest
    await this.#changes.put(repository, manifest, reference.kind === 'tag' ? [reference.tag] : tags)
    const named = tags.map((tag): Reference => ({ kind: 'tag', tag }))
    for (const one of named.length === 0 ? [reference] : named)
      this.emit('manifest-stored', repository, one, digest)
    this.#parts.log.info(
      { event: 'manifest-stored', repository, digest, reference: labelOf(reference) },
      'manifest stored',
    )
    return { digest, length, mediaType: manifest.mediaType, ...(subject === undefined ? {} : { subject }) }
  }

  // Mirrored repositories, whose manifests come before their blobs.

  /** What a tag means here, and since when. */
  tag(repository: string, tag: string): Promise<TagRecord | undefined> {
    return this.#tags.get(repository, tag)
  }

  /** @param options.isPinned keeps it as it is, whatever the mirrored registry says later */
  async putTag(
    repository: string,
    tag: string,
    digest: Digest,
    options: { readonly isPinned?: boolean } = {},
  ): Promise<void> {
    await this.#changes.putTag(repository, tag, digest, options)
  }

  /**
   * Keeps a manifest whose blobs may be missing: whoever keeps it sees to them.
   * @returns it as it is kept: of the media type that its document says, where it came with none
   * @throws OciError MANIFEST_INVALID
   */
  async keepManifest(repository: string, manifest: Manifest): Promise<Manifest> {
    // Refused before anything of it is kept.
    const { mediaType } = readManifest(manifest.bytes, manifest.mediaType)
    const kept = { ...manifest, mediaType }
    await this.#changes.put(repository, kept, [])
    return kept
  }

  // Content management.

  async removeManifest(repository: string, reference: Reference): Promise<boolean> {
    const isRemoved =
      reference.kind === 'tag'
        ? await this.#tags.remove(repository, reference.tag)
        : await this.#changes.remove(repository, reference.digest)
    if (isRemoved)
      this.#parts.log.info(
        { event: 'manifest-deleted', repository, reference: labelOf(reference) },
        'manifest deleted',
      )
    return isRemoved
  }

  async removeBlob(repository: string, digest: Digest): Promise<boolean> {
    const isThere = (await this.blobStat(repository, digest, 'pull')) !== undefined
    await this.#repositories.unlinkBlob(repository, digest)
    if (isThere) this.#parts.log.info({ event: 'blob-deleted', repository, digest }, 'blob deleted')
    return isThere
  }

  /** What an index lists may be missing; what is here must stay until the index is. */
  async #leaseListed(repository: string, manifest: ParsedManifest): Promise<void> {
    const leases = [
      ...listedBlobs(manifest).map(
        ({ digest }) =>
          () =>
            this.blobStat(repository, digest, 'look'),
      ),
      ...childManifests(manifest).map(
        ({ digest }) =>
          () =>
            this.#manifests.lease(repository, digest),
      ),
    ]
    for (let first = 0; first < leases.length; first += LEASES_AT_ONCE)
      await Promise.all(leases.slice(first, first + LEASES_AT_ONCE).map((lease) => lease()))
  }

  async #finish(repository: string, session: UploadSession, digest: Digest): Promise<BlobStat> {
    const hashed = session.hashed(digestAlgorithm(digest))
    // Known to be wrong before anything of it can be seen.
    if (hashed !== undefined && hashed.digest !== digest) throw digestInvalid(digest, hashed.digest)
    const stat =
      hashed !== undefined && (await this.#isJustStored(digest, session))
        ? await this.#keepExisting(session, hashed)
        : await this.#storeNew(session, hashed, digest)
    await this.#repositories.linkBlob(repository, digest)
    const blob = await this.#blobs.metainfo(digest)
    if (blob !== undefined) this.emit('blob-stored', stat, blob)
    session.watcher?.end(true)
    this.#parts.log.info({ event: 'blob-stored', repository, digest, bytes: stat.length }, 'blob stored')
    return stat
  }

  /** Older content may have rotted, and nobody has noticed: what was just received is right. */
  async #isJustStored(digest: Digest, { beganAtMs }: UploadSession): Promise<boolean> {
    const record = await this.#blobs.lease(digest)
    return record !== undefined && (await this.#blobs.isWrittenSince(record, beganAtMs))
  }

  /** Somebody pushed the same bytes at the same time: theirs stay, these go. */
  async #keepExisting(session: UploadSession, { digest, length }: HashedBlob): Promise<BlobStat> {
    await this.#uploads.drop(session)
    return { digest, length }
  }

  async #storeNew(session: UploadSession, hashed: HashedBlob | undefined, digest: Digest): Promise<BlobStat> {
    const { contentKey } = session.init
    let blob: HashedBlob
    try {
      await session.complete()
      blob = hashed ?? (await this.#hashContent(contentKey, digest))
      if (blob.digest !== digest) throw digestInvalid(digest, blob.digest)
    } catch (error) {
      await this.#parts.objects.delete(contentKey)
      throw error
    }
    // Content that is cut or gone is known to be damaged from here on.
    await this.#leaseContent(digest)
    // Before anything points to the content: what is left of an upload may be removed with its content.
    await this.#uploads.end(session)
    if (await this.#blobs.publish(blob, contentKey, session.beganAtMs)) this.emit('blob-replaced', digest)
    return { digest, length: blob.length }
  }

  /** Reads content again that was hashed for another algorithm or length than it turned out to have: rare. */
  async #hashContent(contentKey: string, digest: Digest): Promise<HashedBlob> {
    const object = await this.#parts.objects.read(contentKey)
    if (object === undefined) throw new ContentChangedError(contentKey, 'vanished while it was published')
    const hasher = new BlobHasher({ algorithm: digestAlgorithm(digest), blobBytes: object.length })
    for await (const chunk of object.body) hasher.update(chunk)
    const blob = hasher.peek()
    if (blob === undefined) throw new ContentChangedError(contentKey, 'changed while it was read')
    return blob
  }
}

function blobUnknown(digest: Digest): OciError {
  return new OciError('BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest } })
}

function digestInvalid(given: Digest, computed: Digest): OciError {
  return new OciError('DIGEST_INVALID', 'provided digest did not match uploaded content', {
    detail: { digest: given, computed },
  })
}

function labelOf(reference: Reference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest
}
