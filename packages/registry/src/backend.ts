/**
 * What the OCI routes need from whoever serves them. The seeder serves images from its origin, the agent from its peers;
 * both give this, and the plugin knows neither.
 *
 * Repository names, references and digests have been checked against their grammar before they arrive here.
 * "Unknown" is a value, not an error; whatever is thrown becomes an OCI error (`OciError`) or a 500.
 */
import type { Digest, DigestAlgorithm } from '@shoal/core'
import type { BlobStat, Manifest, ManifestStat, Referrer, TagsPage } from '@shoal/oci'
import type { ByteRange } from '@shoal/storage'

/** A tag, or the digest of a manifest. */
export type Reference =
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'digest'; readonly digest: Digest }

export interface RepositoriesPage {
  readonly repositories: readonly string[]
  /** What to pass as `after` for the next page; absent on the last. */
  readonly next?: string
}

export interface ReferrersPage {
  readonly referrers: readonly Referrer[]
  /** What to pass as `after` for the next page; absent on the last. */
  readonly next?: string
}

export interface RegistryBackend {
  /** @returns undefined when no such repository is known */
  tags(
    repository: string,
    page: { readonly tagsMax: number; readonly after?: string },
  ): Promise<TagsPage | undefined>
  /** Whether anything was ever pushed to the repository: tells an unknown tag from an unknown name. */
  hasRepository(repository: string): Promise<boolean>
  /**
   * @param purpose `pull` when a client GETs the manifest, so its blobs are about to be wanted; `look` for HEAD
   */
  manifest(
    repository: string,
    reference: Reference,
    purpose: 'look' | 'pull',
    signal: AbortSignal,
  ): Promise<Manifest | undefined>
  /** @param purpose `look` for HEAD: a client that pushes does not send what it finds, and relies on its staying */
  blobStat(
    repository: string,
    digest: Digest,
    purpose: 'look' | 'pull',
    signal: AbortSignal,
  ): Promise<BlobStat | undefined>
  /**
   * The bytes [start, end) of a blob, streamed under back-pressure. Once it has given a byte it gives all of them or throws,
   * and the connection is cut. A chunk may be overwritten when the next is asked for. `signal` aborts when the client goes away, which is normal.
   */
  readBlob(
    repository: string,
    digest: Digest,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>
  /**
   * The manifests that name `subject`, whether or not that exists: none are an empty page.
   * @param query.artifactType only those of this type
   * @param query.after the `next` of the page before
   */
  referrers(
    repository: string,
    subject: Digest,
    query: { readonly artifactType?: string; readonly after?: string },
    signal: AbortSignal,
  ): Promise<ReferrersPage>
  /** The names of the repositories, each once, in an order that stays. Absent on a registry that does not know them all. */
  repositories?(page: { readonly countMax: number; readonly after?: string }): Promise<RepositoriesPage>
  /** Absent on a registry that cannot be pushed to. */
  readonly push?: RegistryPush
  /** Absent on a registry where nothing can be deleted, tags included. */
  readonly remove?: RegistryRemove
}

export interface RegistryRemove {
  /**
   * Removes a tag, or a manifest with all tags that point to it.
   * @returns false when there is none
   */
  removeManifest(repository: string, reference: Reference): Promise<boolean>
  /** Takes a blob out of this repository; others keep it. @returns false when it was not there */
  removeBlob(repository: string, digest: Digest): Promise<boolean>
}

export interface UploadStatus {
  readonly id: string
  /** Bytes received and kept so far. */
  readonly received: number
}

/** What the client said about the bytes that it sends. */
export interface UploadChunk {
  /** Where they belong; unequal to what was received → RANGE_INVALID and nothing is kept. */
  readonly startAt?: number
  /** Length of the whole blob, known when these are its last bytes. */
  readonly blobBytes?: number
  /** Of the digest that the upload will be finished with, known with the last bytes. */
  readonly algorithm?: DigestAlgorithm
  /** Of the blob, where the client says it before its bytes. */
  readonly digest?: Digest
  /** The request that brings these bytes finishes the upload as well. */
  readonly isLast?: boolean
  /** Where the client is. */
  readonly from?: string
}

export interface RegistryPush {
  /**
   * @param bytesExpected the whole blob's length where the client said it
   * @param algorithm of the digest that will be given at the end
   */
  startUpload(
    repository: string,
    init: {
      readonly bytesExpected?: number
      readonly algorithm?: DigestAlgorithm
      /** The request that begins the upload also ends it; no other will be about it. */
      readonly isOneRequest?: boolean
      /** Where the client is. */
      readonly from?: string
    },
  ): Promise<UploadStatus>
  uploadStatus(repository: string, id: string): Promise<UploadStatus | undefined>
  /**
   * Appends `body` to the upload. When `body` throws, what came before it is kept and the upload stays open.
   * @throws OciError BLOB_UPLOAD_UNKNOWN · RANGE_INVALID · SIZE_INVALID
   */
  appendUpload(
    repository: string,
    id: string,
    body: AsyncIterable<Uint8Array>,
    chunk?: UploadChunk,
  ): Promise<UploadStatus>
  /**
   * Ends the upload: the blob can be read when it resolves.
   * @throws OciError DIGEST_INVALID when the bytes are not the digest's; nothing is kept then
   */
  finishUpload(repository: string, id: string, digest: Digest): Promise<BlobStat>
  /** @returns false when there is no such upload */
  cancelUpload(repository: string, id: string): Promise<boolean>
  /**
   * Makes a blob of repository `from`, or of any where none is named, readable in `repository`; undefined when that cannot
   * be done.
   */
  mountBlob(repository: string, digest: Digest, from: string | undefined): Promise<BlobStat | undefined>
  /**
   * @param bytes 4 MiB at most, as they came
   * @param tags given to the manifest beside `reference`
   * @throws OciError MANIFEST_INVALID · MANIFEST_BLOB_UNKNOWN · DIGEST_INVALID
   */
  putManifest(
    repository: string,
    reference: Reference,
    mediaType: string,
    bytes: Uint8Array,
    tags: readonly string[],
  ): Promise<StoredManifest>
}

export interface StoredManifest extends ManifestStat {
  /** What the manifest is attached to. */
  readonly subject?: Digest
}
