/**
 * The images that a seeder serves: those that were pushed to it, and those of the registries that it may mirror, fetched when
 * somebody asks. Clients see one registry.
 *
 *   a name ──locate──▶ own:      what was pushed here, and blobs that are just being pushed
 *                      mirrored: what is kept here of another registry ──▶ manifests, blobs, lists of that registry
 */
import type { Digest } from '@shoal/core'
import { type BlobStat, type Manifest, OciError, requiredBlobs, type TagsPage } from '@shoal/oci'
import type {
  ImageStore,
  Reference,
  ReferrersPage,
  RegistryBackend,
  RegistryPush,
  RegistryRemove,
  RepositoriesPage,
} from '@shoal/registry'
import { UpstreamError } from '@shoal/registry-client'
import { orAborted, readManifest, within } from '@shoal/service'
import type { ByteRange } from '@shoal/storage'
import type { Logger } from 'pino'
import type { ArrivingBlobs } from '../arriving/arriving-blobs.ts'
import type { StreamingCopy } from '../arriving/streaming-copy.ts'
import { CopyLostError } from '../errors.ts'
import type { AwaitedBlob } from './awaited-blob.ts'
import type { BlobFetches } from './blob-fetches.ts'
import { CarriedImage } from './carried-image.ts'
import { type Location, Locations, type LocationsInit } from './locations.ts'
import { MirroredBlobs } from './mirrored-blobs.ts'
import { MirroredManifests, type MirroredManifestsInit } from './mirrored-manifests.ts'
import { pushesTo, removalsFrom } from './pushes.ts'
import { RecentRefusals } from './recent-refusals.ts'
import { UpstreamLists } from './upstream-lists.ts'
import type { UpstreamRepository, Upstreams } from './upstreams.ts'

export interface MirrorParts {
  readonly images: ImageStore
  readonly upstreams: Upstreams
  readonly fetches: BlobFetches
  readonly arriving: Pick<ArrivingBlobs, 'find'>
  /** Reads a blob that is in the origin, whatever the repository. */
  readonly readContent: (digest: Digest, range: ByteRange, signal: AbortSignal) => AsyncIterable<Uint8Array>
  readonly log: Logger
  readonly nowMs: () => number
  /** Another registry gave no manifest, or none that can be used. @param code of the error */
  readonly onFailed?: (code: string) => void
}

export type MirrorInit = LocationsInit & MirroredManifestsInit

/**
 * What a registry says to the question for a blob is waited for so long, so that a refusal is a 404 and clients turn elsewhere:
 * of a blob whose length is known the header leaves then, and the bytes follow as they come.
 */
const ANSWER_PATIENCE_MS = 500
const COPY_PATIENCE_MS = 100

export class Mirror implements RegistryBackend {
  /** To what is not mirrored. */
  readonly push: RegistryPush
  readonly remove: RegistryRemove
  readonly #parts: MirrorParts
  readonly #locations: Locations
  readonly #carried: CarriedImage
  readonly #manifests: MirroredManifests
  readonly #blobs: MirroredBlobs
  readonly #lists: UpstreamLists

  constructor(parts: MirrorParts, init: MirrorInit) {
    this.#parts = parts
    const refusals = new RecentRefusals()
    this.#locations = new Locations(parts, init)
    this.#carried = new CarriedImage(parts)
    this.#manifests = new MirroredManifests({ ...parts, refusals }, init)
    this.#blobs = new MirroredBlobs({ ...parts, refusals })
    this.#lists = new UpstreamLists(parts)
    this.push = pushesTo(parts.images, this.#locations)
    this.remove = removalsFrom(parts.images, this.#locations)
  }

  async manifest(
    name: string,
    reference: Reference,
    purpose: 'look' | 'pull',
  ): Promise<Manifest | undefined> {
    const location = this.#locations.locate(name)
    if (location.kind === 'carried') await this.#carried.ensure()
    if (location.kind !== 'mirrored') {
      const here = await this.#parts.images.manifest(location.repository, reference, purpose)
      if (here !== undefined) return here
    }
    const from = await this.#locations.upstreamOf(location)
    if (from === undefined) return undefined
    const manifest = await this.#manifests.find(from, reference)
    if (manifest !== undefined && purpose === 'pull') this.#expectBlobs(from, manifest)
    return manifest
  }

  async blobStat(name: string, digest: Digest, purpose: 'look' | 'pull'): Promise<BlobStat | undefined> {
    const location = this.#locations.locate(name)
    // A client that looks before a push asks about this repository alone: it will not send what it is told is here.
    if (purpose === 'look' && location.kind !== 'mirrored')
      return this.#parts.images.blobStat(location.repository, digest, purpose)
    const kept = await this.#kept(location, digest, purpose)
    if (kept !== undefined) return kept
    const pushed = this.#beingPushed(location, digest)
    if (pushed !== undefined) return { digest, length: pushed.length, isArriving: true }
    const awaited = await this.#awaited(location, digest)
    if (awaited === undefined) return undefined
    try {
      const length = await awaited.known
      await within(awaited.answered, ANSWER_PATIENCE_MS)
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
    const location = this.#locations.locate(name)
    let kept = await this.#kept(location, digest, 'pull')
    if (kept === undefined) {
      const isGiven = yield* this.#arrivingBytes(location, digest, range, signal)
      if (isGiven) return
      if (await this.#whole(location, digest, signal)) kept = await this.#kept(location, digest, 'pull')
    }
    if (kept === undefined)
      throw new OciError('BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest } })
    yield* this.#parts.readContent(digest, range, signal)
  }

  /** The bytes that are here of a blob that is still arriving, pushed or from another registry. */
  async copy(name: string, digest: Digest): Promise<StreamingCopy | undefined> {
    const location = this.#locations.locate(name)
    const pushed = this.#beingPushed(location, digest)
    if (pushed !== undefined) return pushed
    const from = await this.#locations.upstreamOf(location)
    const begun = from && this.#parts.fetches.find(from.name, digest)?.copy
    // A fetch that has just begun has one within moments: an agent that is told of it need not ask again.
    const copy = begun && (await within(begun, COPY_PATIENCE_MS))
    return copy?.isEnded ? undefined : copy
  }

  /**
   * Waits until the blob is in the origin.
   * @returns false when there is none
   */
  whole(name: string, digest: Digest, signal: AbortSignal): Promise<boolean> {
    return this.#whole(this.#locations.locate(name), digest, signal)
  }

  /** The blobs that are not here yet and on their way, of those that a manifest of `name` needs. */
  async arriving(name: string, blobs: readonly BlobStat[]): Promise<readonly BlobStat[]> {
    const location = this.#locations.locate(name)
    const found = await Promise.all(blobs.map((blob) => this.#isAwaited(location, blob)))
    return blobs.filter((_blob, position) => found[position])
  }

  /** Of those digests, what is here and may be read in `name`. */
  async here(name: string, digests: readonly Digest[]): Promise<readonly Digest[]> {
    const location = this.#locations.locate(name)
    const found = await Promise.all(digests.map((digest) => this.#kept(location, digest, 'pull')))
    return digests.filter((_digest, position) => found[position] !== undefined)
  }

  async tags(name: string, page: { tagsMax: number; after?: string }): Promise<TagsPage | undefined> {
    const { images } = this.#parts
    const location = this.#locations.locate(name)
    const here = location.kind === 'mirrored' ? undefined : await images.tags(location.repository, page)
    if (here !== undefined) return here
    const from = await this.#locations.upstreamOf(location)
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
    const location = this.#locations.locate(name)
    const from = await this.#locations.upstreamOf(location)
    if (from === undefined) return images.referrers(location.repository, subject, query)
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
    return this.#parts.images.hasRepository(this.#locations.locate(name).repository)
  }

  unservedRegistry(name: string): Promise<string | undefined> {
    return this.#locations.unservedRegistry(name)
  }

  /** The blob where it is kept here and may be read by who named the location. */
  async #kept(location: Location, digest: Digest, purpose: 'look' | 'pull'): Promise<BlobStat | undefined> {
    const { images } = this.#parts
    const stat = await images.blobStat(location.repository, digest, purpose)
    if (stat !== undefined || location.kind === 'mirrored') return stat
    const from = await this.#locations.upstreamOf(location)
    return from && images.blobStat(from.name, digest, purpose)
  }

  #beingPushed(location: Location, digest: Digest): StreamingCopy | undefined {
    return location.kind === 'mirrored' ? undefined : this.#parts.arriving.find(location.repository, digest)
  }

  /** The blob on its way from another registry; whoever asks first has it fetched. */
  async #awaited(location: Location, digest: Digest, length?: number): Promise<AwaitedBlob | undefined> {
    const from = await this.#locations.upstreamOf(location)
    return from && this.#blobs.fetch(from, digest, length)
  }

  async #whole(location: Location, digest: Digest, signal: AbortSignal): Promise<boolean> {
    if ((await this.#kept(location, digest, 'pull')) !== undefined) return true
    const awaited = await this.#awaited(location, digest)
    return awaited === undefined ? false : await orAborted(awaited.whole, signal)
  }

  /** @returns false when nothing was given: the blob is not kept while it arrives */
  async *#arrivingBytes(
    location: Location,
    digest: Digest,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, boolean> {
    const pushed = this.#beingPushed(location, digest)
    const awaited = pushed === undefined ? await this.#awaited(location, digest) : undefined
    const copy = pushed ?? (await orAborted(awaited?.copy, signal))
    if (copy === undefined) return false
    let isGiven = false
    try {
      for await (const chunk of copy.read(range, signal)) {
        isGiven = true
        yield chunk
      }
      return true
    } catch (error) {
      // Other requests do not go on with bytes that nobody has confirmed.
      if (isGiven || !(error instanceof CopyLostError)) throw error
      return false
    }
  }

  async #isAwaited(location: Location, { digest, length }: BlobStat): Promise<boolean> {
    if ((await this.#kept(location, digest, 'pull')) !== undefined) return false
    return (await this.#awaited(location, digest, length)) !== undefined
  }

  /** A client is about to want these. */
  #expectBlobs(from: UpstreamRepository, manifest: Manifest): void {
    const location: Location = { kind: 'mirrored', repository: from.name, upstream: from }
    for (const { digest, size } of requiredBlobs(readManifest(manifest.bytes, manifest.mediaType)))
      this.#isAwaited(location, { digest, length: size }).catch((err: unknown) =>
        this.#parts.log.warn({ event: 'arrival-failed', digest, err }, 'blob not fetched'),
      )
  }
}
