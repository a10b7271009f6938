/**
 * The registry on localhost, read-only: what the OCI routes need, from the image directory and the downloads.
 * A client never learns where bytes come from; it sees one uninterrupted body.
 */
import type { Digest } from '@shoal/core'
import { OciError } from '@shoal/oci'
import type { BlobStat, RegistryBackend, TagsPage } from '@shoal/registry'
import { type ByteRange, PieceDamagedError, type StoredBlob } from '@shoal/storage'
import { type Transfer, TransferFailedError } from '@shoal/swarm'
import { diskCodeOf } from './cache-disk.ts'
import type { Downloads } from './downloads.ts'
import { BlobUnknownError, CacheDiskFullError, UnobtainableError } from './errors.ts'
import type { ImageDirectory } from './image-directory.ts'
import type { AgentMetrics } from './metrics.ts'
import type { PassingBlobs } from './passing-blobs.ts'
import type { ReferrerLists } from './referrer-lists.ts'
import type { TagLists } from './tag-lists.ts'
import { unbrokenRead } from './unbroken-read.ts'

export function createBackend(parts: {
  readonly directory: ImageDirectory
  readonly downloads: Downloads
  readonly passing: PassingBlobs
  readonly tagLists: TagLists
  readonly referrerLists: ReferrerLists
  readonly metrics: AgentMetrics
}): RegistryBackend {
  const { directory, downloads, passing, tagLists, referrerLists, metrics } = parts

  /**
   * A blob that is here whole, or being fetched. A part that nobody fetches is no promise: a client that is given a body which
   * has no source waits for its end, while another registry could have given it.
   */
  const servable = (digest: Digest): StoredBlob | undefined => {
    const transfer = downloads.find(digest) ?? downloads.whole(digest)
    // Its length is no more certain than the rest of its metainfo.
    return transfer?.isComplete || transfer?.isTrusted ? transfer.blob : undefined
  }

  /**
   * The blob, on its way at least; that the whole is here says enough when nobody can be asked. It says nothing of this
   * repository: another may have brought it.
   */
  const transferOf = async (
    repository: string,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<Transfer | undefined> => {
    const source = await directory.source(repository, digest, signal)
    if (source === 'unknown') return undefined
    return source === undefined ? downloads.whole(digest) : downloads.ensure(source)
  }

  const blobStat = async (repository: string, digest: Digest): Promise<BlobStat | undefined> => {
    // A length alone is no promise: whoever is given it waits for the bytes, while another registry could have given them.
    if (downloads.whole(digest) === undefined) await directory.requireBlob(repository, digest)
    const stored = servable(digest)?.metainfo.length
    if (stored !== undefined && directory.hasBlob(repository, digest)) return { digest, length: stored }
    const length = await directory.length(repository, digest)
    if (length === 'unknown') return undefined
    if (length !== undefined) return { digest, length }
    // Nobody can say.
    const isOurs = stored !== undefined && (await directory.remembers(repository, digest))
    return isOurs ? { digest, length: stored } : undefined
  }

  /** What nobody can give is a miss, so that clients turn to the next registry on their list; it says why. */
  const missed = (error: unknown, code: 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN'): unknown => {
    if (!(error instanceof UnobtainableError)) return error
    metrics.unobtainable.inc()
    return new OciError(code, error.message, { cause: error, detail: { reason: error.reason } })
  }

  return {
    manifest: (repository, reference, purpose) =>
      directory.manifest(repository, reference, purpose).catch((error: unknown) => {
        throw missed(error, 'MANIFEST_UNKNOWN')
      }),
    blobStat: (repository, digest) =>
      blobStat(repository, digest).catch((error: unknown) => {
        throw missed(error, 'BLOB_UNKNOWN')
      }),
    // The route has asked for the blob's stat, and so whether the repository has it.
    async *readBlob(repository, digest, whole, signal) {
      const read = async function* (range: ByteRange) {
        // It may have been whole when its length was asked for, and damaged.
        if (downloads.whole(digest) === undefined) await directory.requireBlob(repository, digest)
        try {
          const transfer = downloads.find(digest) ?? (await transferOf(repository, digest, signal))
          if (transfer === undefined) throw new BlobUnknownError(digest)
          yield* transfer.read(range.start, range.end, signal)
        } catch (error) {
          const source = error instanceof CacheDiskFullError ? directory.knownSource(digest) : undefined
          if (source === undefined) throw error
          yield* passing.read(source, range, signal)
        }
      }
      try {
        for await (const chunk of unbrokenRead(whole, read, isOfTheDisk)) {
          metrics.served.inc(chunk.length)
          yield chunk
        }
      } catch (error) {
        throw missed(error, 'BLOB_UNKNOWN')
      }
    },
    tags: (repository, page): Promise<TagsPage | undefined> => tagLists.tags(repository, page),
    referrers: (repository, subject, query, signal) => referrerLists.page(repository, subject, query, signal),
    hasRepository: (repository) => tagLists.hasRepository(repository),
  }
}

/** What was on this node's disk has rotted, and is being fetched again; or the disk is full, and the rest passes through. */
function isOfTheDisk(error: unknown): boolean {
  const cause = error instanceof TransferFailedError ? error.cause : error
  return cause instanceof PieceDamagedError || diskCodeOf(error) !== undefined
}
