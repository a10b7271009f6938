/**
 * The images that a seeder serves: those that were pushed to it, and those of the registries that it may mirror, fetched when
 * somebody asks. Clients see one registry.
 *
 * A digest means the same for ever; a tag is compared with its registry when what is known of it is older than its time to
 * live. While that registry is away the tag is served as it was, marked so. What a registry denies is remembered briefly.
 */
import type { Digest } from '@shoal/core'
import {
  type BlobStat,
  type Manifest,
  mirroredName,
  OciError,
  requiredBlobs,
  splitMirroredName,
  type TagsPage,
} from '@shoal/oci'
import type {
  ImageStore,
  Reference,
  ReferrersPage,
  RegistryBackend,
  RegistryPush,
  RegistryRemove,
  RepositoriesPage,
  StoredManifest,
  UploadChunk,
  UploadStatus,
} from '@shoal/registry'
import { UpstreamBusyError, UpstreamError, UpstreamInvalidError } from '@shoal/registry-client'
import { orAborted, readManifest, within } from '@shoal/service'
import type { ByteRange } from '@shoal/storage'
import type { Logger } from 'pino'
import type { ArrivingBlobs } from '../arriving/arriving-blobs.ts'
import type { StreamingCopy } from '../arriving/streaming-copy.ts'
import { CopyLostError } from '../errors.ts'
import type { Arrival, Arrivals } from './arrivals.ts'
import { CarriedImage } from './carried-image.ts'
import { RecentRefusals } from './recent-refusals.ts'
import { UpstreamLists } from './upstream-lists.ts'
import type { UpstreamRepository, Upstreams } from './upstreams.ts'

export interface MirrorParts {
  readonly images: ImageStore
  readonly upstreams: Upstreams
  readonly arrivals: Arrivals
  readonly arriving: Pick<ArrivingBlobs, 'find'>
  readonly log: Logger
  readonly nowMs: () => number
  /** Another registry gave no manifest, or none that can be used. @param code of the error */
  readonly onFailed?: (code: string) => void
}

export interface MirrorInit {
  /** Names by which clients know this seeder: what they ask of them is what was pushed here. */
  readonly ownHosts: readonly string[]
  /** Where names without a host are looked for when nobody pushed them here. */
  readonly defaultUpstream: string | undefined
  readonly tagTtlMs: number
}

/** What a blob is when it is not here yet. */
export interface ArrivingBlob {
  readonly digest: Digest
  readonly length: number
}

const REFUSAL_AGE_MS = 10_000
/** A registry that asks to be left alone for longer is asked again for a blob then. */
const BUSY_AGE_MS_MAX = 60_000
const REFUSALS_MAX = 10_000
/** A registry is given this long, whoever has left in the meantime: the next who asks finds what it said. */
const QUESTION_TIMEOUT_MS = 30_000
/** Clients turn to another registry after 3 s: what is known, although old, is better than that. */
const PATIENCE_MS = 1_500
/**
 * What a registry says to the question for a blob is waited for so long, so that a refusal is a 404 and clients turn elsewhere:
 * of a blob whose length is known the header leaves then, and the bytes follow as they come.
 */
const ANSWER_PATIENCE_MS = 500
const COPY_PATIENCE_MS = 100
/** Lengths that manifests say of blobs: whoever asks for one of them is told it before its registry has answered. */
const LENGTHS_MAX = 20_000

export class Mirror implements RegistryBackend, RegistryPush {
  readonly push: RegistryPush = this
  readonly remove: RegistryRemove
  readonly #parts: MirrorParts
  readonly #init: MirrorInit
  readonly #carried: CarriedImage
  readonly #refusals = new RecentRefusals({ ageMs: REFUSAL_AGE_MS, countMax: REFUSALS_MAX })
  readonly #questions = new Map<string, Promise<Manifest | undefined>>()
  readonly #lists: UpstreamLists
  /** By name and digest; those that were said last. */
  readonly #lengths = new Map<string, number>()

  constructor(parts: MirrorParts, init: MirrorInit) {
    this.#parts = parts
    this.#init = init
    const { images } = parts
    this.#lists = new UpstreamLists(parts)
    this.#carried = new CarriedImage({ images, log: parts.log })
    const here = (name: string) => this.#ownName(name) ?? name
    this.remove = {
      removeManifest: (name, reference) => images.removeManifest(here(name), reference),
      removeBlob: (name, digest) => images.removeBlob(here(name), digest),
    }
  }

  // Pull.

  async manifest(
    name: string,
    reference: Reference,
    purpose: 'look' | 'pull',
  ): Promise<Manifest | undefined> {
    const own = this.#ownName(name)
    if (own !== undefined && this.#carried.isOf(own)) await this.#carried.ensure()
    const here = own === undefined ? undefined : await this.#parts.images.manifest(own, reference, purpose)
    if (here !== undefined) return here
    const from = await this.#upstreamOf(name, own)
    if (from === undefined) return undefined
    const manifest = await this.#mirrored(from, reference)
    if (manifest !== undefined && purpose === 'pull') this.#expectBlobs(from, manifest)
    return manifest
  }

  async blobStat(name: string, digest: Digest, purpose: 'look' | 'pull'): Promise<BlobStat | undefined> {
    const own = this.#ownName(name)
    // Who looks before a push asks about this repository alone: what it is told is here it will not send.
    if (purpose === 'look' && own !== undefined) return this.#parts.images.blobStat(own, digest, purpose)
    const here = await this.#blobHere(name, digest, purpose)
    if (here !== undefined) return here
    const pushed = own === undefined ? undefined : this.#parts.arriving.find(own, digest)
    if (pushed !== undefined) return { digest, length: pushed.length, isArriving: true }
    const arrival = await this.#arrival(name, digest)
    if (arrival === undefined) return undefined
    try {
      const length = await arrival.known
      await within(arrival.answered, ANSWER_PATIENCE_MS)
      return length === undefined ? undefined : { digest, length, isArriving: true }
    } catch {
      return undefined
    }
  }

  async *readBlob(
    name: string,
    digest: Digest,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const { images } = this.#parts
    if ((await this.#blobHere(name, digest, 'pull')) === undefined) {
      const isGiven = yield* this.#arrivingBytes(name, digest, range, signal)
      if (isGiven) return
    }
    if (!(await this.whole(name, digest, signal)))
      throw new OciError('BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest } })
    const own = this.#ownName(name)
    const isOwn = own !== undefined && (await images.blobStat(own, digest, 'pull')) !== undefined
    const from = isOwn ? undefined : await this.#upstreamOf(name, own)
    yield* images.readBlob(from?.name ?? own ?? name, digest, range, signal)
  }

  /** @returns false when nothing was given: the blob is not kept while it arrives */
  async *#arrivingBytes(
    name: string,
    digest: Digest,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, boolean> {
    const own = this.#ownName(name)
    const pushed = own === undefined ? undefined : this.#parts.arriving.find(own, digest)
    const arrival = pushed === undefined ? await this.#arrival(name, digest) : undefined
    const copy = pushed ?? (await orAborted(arrival?.copy, signal))
    if (copy === undefined) return false
    let isGiven = false
    try {
      for await (const chunk of copy.read(range, signal)) {
        isGiven = true
        yield chunk
      }
      return true
    } catch (error) {
      // Bytes that nobody has confirmed are not gone on with by others.
      if (isGiven || !(error instanceof CopyLostError)) throw error
      return false
    }
  }

  /** The bytes that are here of a blob that is still arriving, pushed or from another registry. */
  async copy(name: string, digest: Digest): Promise<StreamingCopy | undefined> {
    const { arriving } = this.#parts
    const own = this.#ownName(name)
    const pushed = own === undefined ? undefined : arriving.find(own, digest)
    if (pushed !== undefined) return pushed
    const from = await this.#upstreamOf(name, own)
    const begun = from && this.#parts.arrivals.find(from.name, digest)?.copy
    // An arrival that has just begun has one within moments: an agent that is told of it need not ask again.
    const copy = begun && (await within(begun, COPY_PATIENCE_MS))
    return copy?.isEnded ? undefined : copy
  }

  /**
   * Waits until the blob is in the origin.
   * @returns false when there is none
   */
  async whole(name: string, digest: Digest, signal: AbortSignal): Promise<boolean> {
    if ((await this.#blobHere(name, digest, 'pull')) !== undefined) return true
    const arrival = await this.#arrival(name, digest)
    if (arrival === undefined) return false
    return await orAborted(arrival.whole, signal)
  }

  /** The blobs that are not here yet and on their way, of those that a manifest of `name` needs. */
  async arriving(name: string, blobs: readonly ArrivingBlob[]): Promise<readonly ArrivingBlob[]> {
    const found = await Promise.all(
      blobs.map(async (blob) => {
        if ((await this.#blobHere(name, blob.digest, 'pull')) !== undefined) return undefined
        return (await this.#arrival(name, blob.digest, blob.length)) && blob
      }),
    )
    return found.filter((blob) => blob !== undefined)
  }

  /** Of those digests, what is here and may be read in `name`. */
  async here(name: string, digests: readonly Digest[]): Promise<readonly Digest[]> {
    const found = await Promise.all(
      digests.map(async (digest) => ((await this.#blobHere(name, digest, 'pull')) ? digest : undefined)),
    )
    return found.filter((digest) => digest !== undefined)
  }

  async tags(name: string, page: { tagsMax: number; after?: string }): Promise<TagsPage | undefined> {
    const { images } = this.#parts
    const own = this.#ownName(name)
    const here = own === undefined ? undefined : await images.tags(own, page)
    if (here !== undefined) return here
    const from = await this.#upstreamOf(name, own)
    if (from === undefined) return undefined
    if (page.tagsMax === 0) return { tags: [], more: false }
    try {
      return await this.#lists.tags(from, page)
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error
      return images.tags(from.name, page)
    }
  }

  async referrers(
    name: string,
    subject: Digest,
    query: { readonly artifactType?: string; readonly after?: string },
  ): Promise<ReferrersPage> {
    const { images } = this.#parts
    const own = this.#ownName(name)
    const from = await this.#upstreamOf(name, own)
    if (from === undefined || (own !== undefined && (await images.hasRepository(own))))
      return images.referrers(own ?? name, subject, query)
    try {
      return await this.#lists.referrers(from, subject, query)
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error
      return images.referrers(from.name, subject, query)
    }
  }

  repositories(page: { readonly countMax: number; readonly after?: string }): Promise<RepositoriesPage> {
    return this.#parts.images.repositories(page)
  }

  hasRepository(name: string): Promise<boolean> {
    return this.#parts.images.hasRepository(this.#ownName(name) ?? name)
  }

  /**
   * The registry that a client means by a name that is not here, where that registry is neither this one nor mirrored: whoever
   * asked goes on to it. Docker names no registry: its official images can only be of Docker Hub.
   */
  async unservedRegistry(name: string): Promise<string | undefined> {
    const own = this.#ownName(name)
    if (own === undefined || (await this.#parts.images.hasRepository(own))) return undefined
    const split = splitMirroredName(own)
    if (split !== undefined) return split.host
    const isOfDocker = own.startsWith('library/') && this.#init.defaultUpstream === undefined
    return isOfDocker ? 'docker.io' : undefined
  }

  // Push: to what is not mirrored.

  async startUpload(name: string, init: Parameters<RegistryPush['startUpload']>[1]): Promise<UploadStatus> {
    return this.#parts.images.startUpload(this.#pushable(name), init)
  }

  async uploadStatus(name: string, id: string): Promise<UploadStatus | undefined> {
    return this.#parts.images.uploadStatus(this.#pushable(name), id)
  }

  async appendUpload(
    name: string,
    id: string,
    body: AsyncIterable<Uint8Array>,
    chunk?: UploadChunk,
  ): Promise<UploadStatus> {
    return this.#parts.images.appendUpload(this.#pushable(name), id, body, chunk)
  }

  async finishUpload(name: string, id: string, digest: Digest): Promise<BlobStat> {
    return this.#parts.images.finishUpload(this.#pushable(name), id, digest)
  }

  async cancelUpload(name: string, id: string): Promise<boolean> {
    return this.#parts.images.cancelUpload(this.#pushable(name), id)
  }

  async mountBlob(name: string, digest: Digest, from: string | undefined): Promise<BlobStat | undefined> {
    const source = from === undefined ? undefined : (this.#ownName(from) ?? from)
    return this.#parts.images.mountBlob(this.#pushable(name), digest, source)
  }

  async putManifest(
    name: string,
    reference: Reference,
    mediaType: string,
    bytes: Uint8Array,
    tags: readonly string[],
  ): Promise<StoredManifest> {
    return this.#parts.images.putManifest(this.#pushable(name), reference, mediaType, bytes, tags)
  }

  // Whose a name is.

  /** The repository here that is meant; undefined for that of another registry. */
  #ownName(name: string): string | undefined {
    const split = splitMirroredName(name)
    if (split !== undefined && this.#init.ownHosts.includes(split.host)) return split.repository
    return this.#parts.upstreams.find(name) === undefined ? name : undefined
  }

  async #upstreamOf(name: string, own: string | undefined): Promise<UpstreamRepository | undefined> {
    const { upstreams, images } = this.#parts
    if (own === undefined) return upstreams.find(name)
    const { defaultUpstream } = this.#init
    // A name that somebody pushed to is theirs, whatever another registry has under it.
    if (defaultUpstream === undefined || this.#carried.isOf(own) || (await images.hasRepository(own)))
      return undefined
    const elsewhere = mirroredName(defaultUpstream, own)
    return elsewhere === undefined ? undefined : upstreams.find(elsewhere)
  }

  /** The repository here that a push means: the one that a pull of the same name finds. */
  #pushable(name: string): string {
    const own = this.#ownName(name)
    if (own !== undefined && this.#carried.isOf(own))
      throw new OciError('DENIED', 'this repository is the seeder’s own; push to another', {
        detail: { name },
      })
    if (own !== undefined) return own
    throw new OciError('DENIED', 'this repository mirrors another registry; push to that one', {
      detail: { name },
    })
  }

  // Manifests of other registries.

  async #mirrored(from: UpstreamRepository, reference: Reference): Promise<Manifest | undefined> {
    const { images, nowMs } = this.#parts
    if (reference.kind === 'digest') {
      const here = await images.manifest(from.name, reference)
      return here ?? this.#ask(from, reference.digest, () => this.#fetch(from, reference.digest))
    }
    const known = await images.tag(from.name, reference.tag)
    const isFresh = known !== undefined && nowMs() - known.updatedAtMs < this.#init.tagTtlMs
    const stored = known && (await images.manifest(from.name, { kind: 'digest', digest: known.digest }))
    if (stored !== undefined && (isFresh || known!.isPinned === true)) return stored
    const asked = this.#ask(from, reference.tag, () => this.#revalidate(from, reference.tag, stored))
    if (stored === undefined) return asked
    const patience = new Promise<Manifest>((resolve) => {
      const late = { ...stored, warning: `${from.host} is slow; this tag may be out of date` }
      setTimeout(() => resolve(late), PATIENCE_MS).unref()
    })
    return Promise.race([asked, patience])
  }

  /** One question for all who ask the same at once, and for those who ask shortly after a no. */
  #ask(
    from: UpstreamRepository,
    reference: string,
    question: () => Promise<Manifest | undefined>,
  ): Promise<Manifest | undefined> {
    const key = `${from.name}@${reference}`
    const { nowMs } = this.#parts
    if (this.#refusals.has(key, nowMs())) return Promise.resolve(undefined)
    let asked = this.#questions.get(key)
    if (asked === undefined) {
      asked = question()
        .then((answer) => {
          if (answer === undefined) this.#refusals.add(key, nowMs())
          return answer
        })
        .catch((error: unknown) => {
          if (!(error instanceof UpstreamError) && !(error instanceof OciError)) throw error
          this.#refusals.add(key, nowMs())
          const { host: upstream } = from
          const reason = error.message
          this.#parts.onFailed?.(error.code)
          this.#parts.log.warn({ event: 'upstream-failed', upstream, key, reason }, 'upstream failed')
          throw unknownNow(from, error)
        })
        .finally(() => this.#questions.delete(key))
      this.#questions.set(key, asked)
      asked.catch(() => {})
    }
    return asked
  }

  async #revalidate(
    from: UpstreamRepository,
    tag: string,
    stored: Manifest | undefined,
  ): Promise<Manifest | undefined> {
    const { images, log } = this.#parts
    try {
      const signal = AbortSignal.timeout(QUESTION_TIMEOUT_MS)
      const now = await from.client.manifestDigest(from.repository, tag, signal)
      if (now === undefined) {
        const published = await this.#published(from.name, tag)
        if (published !== undefined) return published
        if (stored !== undefined) await images.removeManifest(from.name, { kind: 'tag', tag })
        return undefined
      }
      const reference = { kind: 'digest', digest: now.digest } as const
      const manifest = (await images.manifest(from.name, reference)) ?? (await this.#fetch(from, now.digest))
      const published = await this.#published(from.name, tag)
      if (published !== undefined) return published
      if (manifest !== undefined) await images.putTag(from.name, tag, manifest.digest)
      return manifest
    } catch (error) {
      if (stored === undefined || !(error instanceof UpstreamError)) throw error
      const isBusy = error instanceof UpstreamBusyError
      const { name, host: upstream } = from
      const reason = error.message
      log.warn({ event: 'tag-served-stale', name, tag, upstream, reason }, 'a tag is served as it was')
      const state = isBusy ? 'asks to be left alone' : 'cannot be asked'
      return { ...stored, warning: `${from.host} ${state} now; this tag may be out of date` }
    }
  }

  /** What somebody made the tag mean on purpose, perhaps while its registry was asked. */
  async #published(name: string, tag: string): Promise<Manifest | undefined> {
    const { images } = this.#parts
    const known = await images.tag(name, tag)
    return known?.isPinned === true
      ? images.manifest(name, { kind: 'digest', digest: known.digest })
      : undefined
  }

  async #fetch(from: UpstreamRepository, digest: Digest): Promise<Manifest | undefined> {
    const signal = AbortSignal.timeout(QUESTION_TIMEOUT_MS)
    const manifest = await from.client.manifest(from.repository, digest, { signal })
    if (manifest === undefined || manifest === 'not-modified') return undefined
    const kept = await this.#parts.images.keepManifest(from.name, manifest)
    this.#parts.log.info({ event: 'manifest-arrived', name: from.name, digest }, 'manifest arrived')
    return kept
  }

  // Blobs of other registries.

  async #blobHere(name: string, digest: Digest, purpose: 'look' | 'pull'): Promise<BlobStat | undefined> {
    const { images } = this.#parts
    const own = this.#ownName(name)
    if (own === undefined) return images.blobStat(name, digest, purpose)
    const here = await images.blobStat(own, digest, purpose)
    if (here !== undefined || this.#init.defaultUpstream === undefined) return here
    const from = await this.#upstreamOf(name, own)
    return from && images.blobStat(from.name, digest, purpose)
  }

  async #arrival(name: string, digest: Digest, length?: number): Promise<Arrival | undefined> {
    const { arrivals, nowMs } = this.#parts
    const from = await this.#upstreamOf(name, this.#ownName(name))
    if (from === undefined) return undefined
    const key = `${from.name}@${digest}`
    if (this.#refusals.has(key, nowMs())) return undefined
    if (length !== undefined) this.#noteLength(key, length)
    const said = length ?? this.#lengths.get(key)
    const arrival = arrivals.find(from.name, digest) ?? arrivals.begin(from, digest, said)
    const refuse = (untilMs = nowMs() + REFUSAL_AGE_MS) => this.#refusals.add(key, untilMs - REFUSAL_AGE_MS)
    arrival.whole.then(
      (isThere) => isThere || refuse(),
      (error: unknown) => {
        const { retryAtMs } = error instanceof UpstreamBusyError ? error : { retryAtMs: 0 }
        refuse(nowMs() + Math.min(BUSY_AGE_MS_MAX, Math.max(REFUSAL_AGE_MS, retryAtMs - nowMs())))
      },
    )
    return arrival
  }

  #noteLength(key: string, length: number): void {
    this.#lengths.delete(key)
    this.#lengths.set(key, length)
    const [oldest] = this.#lengths.keys()
    if (this.#lengths.size > LENGTHS_MAX) this.#lengths.delete(oldest!)
  }

  /** A client is about to want these. */
  #expectBlobs(from: UpstreamRepository, manifest: Manifest): void {
    const parsed = readManifest(manifest.bytes, manifest.mediaType)
    for (const { digest, size } of requiredBlobs(parsed))
      void this.arriving(from.name, [{ digest, length: size }]).catch((err: unknown) =>
        this.#parts.log.warn({ event: 'arrival-failed', digest, err }, 'blob not fetched'),
      )
  }
}

/** Whether a registry gave something that is no manifest, so that who asks again will hear no better. */
export function isUnusable(error: OciError): boolean {
  return error.cause instanceof OciError || error.cause instanceof UpstreamInvalidError
}

/** 404, so that the client goes on to the next registry, which is the one that could not be asked from here. */
function unknownNow({ host, name }: UpstreamRepository, cause: Error): OciError {
  return new OciError('MANIFEST_UNKNOWN', `${host} gave no manifest: ${cause.message}`, {
    detail: { name },
    cause,
  })
}
