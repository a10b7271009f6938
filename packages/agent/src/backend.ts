/**
 * The registry on localhost, read-only: what the OCI routes need, from the image directory and the downloads.
 * A client never learns where bytes come from; it sees one uninterrupted body.
 */
import type { Digest } from '@shoal/core'
import type { BlobStat, RegistryBackend, TagsPage } from '@shoal/registry'
import { infoHashOf } from '@shoal/storage'
import type { BlobSource } from './blob-source.ts'
import type { Downloads } from './downloads.ts'
import { BlobUnknownError } from './errors.ts'
import type { ImageDirectory } from './image-directory.ts'
import type { AgentMetrics } from './metrics.ts'
import type { ReferrerLists } from './referrer-lists.ts'
import type { TagLists } from './tag-lists.ts'

export function createBackend(parts: {
  readonly directory: ImageDirectory
  readonly downloads: Downloads
  readonly tagLists: TagLists
  readonly referrerLists: ReferrerLists
  readonly metrics: AgentMetrics
}): RegistryBackend {
  const { directory, downloads, tagLists, referrerLists, metrics } = parts

  /** What is needed to fetch the blob; what is here of it already says enough when nobody can be asked. */
  const sourceOf = async (
    repository: string,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<BlobSource | undefined> => {
    const source = await directory.source(repository, digest, signal)
    const stored = downloads.stored(digest)
    if (source !== undefined || stored === undefined) return source
    return {
      metainfo: stored.metainfo,
      infoHash: infoHashOf(stored.metainfo),
      repository,
      peers: [],
      isFromSeeder: false,
    }
  }

  const blobStat = async (repository: string, digest: Digest): Promise<BlobStat | undefined> => {
    if (!(await directory.mayRead(repository, digest))) return undefined
    const length = downloads.stored(digest)?.metainfo.length ?? (await directory.length(repository, digest))
    return length === undefined ? undefined : { digest, length }
  }

  return {
    manifest: (repository, reference, purpose) => directory.manifest(repository, reference, purpose),
    blobStat,
    async *readBlob(repository, digest, range, signal) {
      if (!(await directory.mayRead(repository, digest))) throw new BlobUnknownError(digest)
      let transfer = downloads.find(digest)
      if (transfer === undefined) {
        const source = await sourceOf(repository, digest, signal)
        if (source === undefined) throw new BlobUnknownError(digest)
        transfer = await downloads.ensure(source)
      }
      for await (const chunk of transfer.read(range.start, range.end, signal)) {
        metrics.served.inc(chunk.length)
        yield chunk
      }
    },
    tags: (repository, page): Promise<TagsPage | undefined> => tagLists.tags(repository, page),
    referrers: (repository, subject, query, signal) => referrerLists.page(repository, subject, query, signal),
    hasRepository: (repository) => tagLists.hasRepository(repository),
  }
}
