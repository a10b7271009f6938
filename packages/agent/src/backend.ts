/**
 * The registry on localhost, read-only: what the OCI routes need, from the image directory and the downloads.
 * A client never learns where bytes come from; it sees one uninterrupted body.
 */
import { type Digest, PIECE_LENGTHS_BYTES, ShoalError } from '@shoal/core'
import type { BlobStat, TagsPage } from '@shoal/oci'
import { OciError, splitMirroredName } from '@shoal/oci'
import type { RegistryBackend } from '@shoal/registry'
import { type ByteRange, PieceDamagedError, type StoredBlob } from '@shoal/storage'
import { type Transfer, TransferFailedError } from '@shoal/swarm'
import type { ArrivingPulls } from './arriving-pulls.ts'
import { diskCodeOf } from './cache-disk.ts'
import type { Downloads } from './downloads.ts'
import { BlobUnknownError, CacheDiskFullError, SourceUnavailableError, UnobtainableError } from './errors.ts'
import type { HttpSources } from './http-sources.ts'
import type { ImageDirectory } from './image-directory.ts'
import { seederBlobUrl } from './known-blob.ts'
import type { AgentMetrics } from './metrics.ts'
import type { PassingBlobs } from './passing-blobs.ts'
import type { ReferrerLists } from './referrer-lists.ts'
import type { TagLists } from './tag-lists.ts'
import { unbrokenRead } from './unbroken-read.ts'

/** How long a blob on its way is given to become a swarm, before it is read from the seeder: its first byte is due then. */
const SWARM_WITHIN_MS = 400

export function createBackend(parts: {
  readonly directory: ImageDirectory
  readonly downloads: Downloads
  readonly arrivals: Pick<ArrivingPulls, 'find' | 'has'>
  readonly passing: Pick<PassingBlobs, 'read'>
  readonly http: Pick<HttpSources, 'arrivingBytes'>
  readonly seederUrl: string
  readonly tagLists: TagLists
  readonly referrerLists: ReferrerLists
  readonly metrics: AgentMetrics
}): RegistryBackend {
  const { directory, downloads, arrivals, passing, http, seederUrl, tagLists, referrerLists, metrics } = parts

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
   * The blob, on its way here at least; that the whole is here says enough when nobody can be asked. It says nothing of this
   * repository: another may have brought it.
   * @returns undefined for a blob that is on its way to the seeder and of which nothing is kept here meanwhile
   * @throws BlobUnknownError
   */
  const transferOf = async (repository: string, digest: Digest): Promise<Transfer | undefined> => {
    const begun = downloads.find(digest) ?? (await arrivals.find(digest))
    if (begun !== undefined) return begun
    const source = await directory.locate(repository, digest)
    if (source === 'arriving')
      return hasPieces(digest) ? begunOrArrived(repository, digest) : arrivals.find(digest)
    if (source !== undefined && source !== 'unknown') return downloads.ensure(source)
    const whole = source === undefined ? downloads.whole(digest) : undefined
    if (whole === undefined) throw new BlobUnknownError(digest)
    return whole
  }

  /** What is on its way becomes a swarm, or has arrived before it did: a fast registry is not waited for. */
  const begunOrArrived = async (repository: string, digest: Digest): Promise<Transfer | undefined> => {
    const settled = new AbortController()
    const begun = arrivals.find(digest, SWARM_WITHIN_MS)
    const arrived = directory.source(repository, digest, settled.signal).catch((error: unknown) => {
      // The seeder's registry is asked next, and says it too.
      if (!settled.signal.aborted && !(error instanceof ShoalError)) throw error
      return undefined
    })
    try {
      const first = await Promise.race([begun, arrived])
      if (first === undefined || first === 'unknown') return begun
      return 'metainfo' in first ? downloads.ensure(first) : first
    } finally {
      settled.abort()
    }
  }

  async function* read(
    repository: string,
    digest: Digest,
    { start, end }: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const transfer = await transferOf(repository, digest)
    if (transfer !== undefined) {
      yield* transfer.read(start, end, signal)
      return
    }
    if (!hasPieces(digest)) {
      // Nothing of it is given before the whole is confirmed, and then it is here.
      yield* readArrived(repository, digest, { start, end }, signal)
      return
    }
    // Too many arrive for a swarm of each, or here is no room: it comes from the seeder, until it can be had here.
    directory.warmBlob(repository, digest)
    const url = seederBlobUrl(seederUrl, repository, digest)
    let offset = start
    try {
      for await (const chunk of http.arrivingBytes(url, { start, end }, signal)) {
        offset += chunk.length
        metrics.received('seeder', chunk.length)
        yield chunk
        if (offset < end && isBegun(digest)) break
      }
    } catch (error) {
      if (!(error instanceof SourceUnavailableError)) throw error
    }
    if (offset === end) return
    const begun = downloads.find(digest) ?? (await arrivals.find(digest))
    if (begun !== undefined) yield* begun.read(offset, end, signal)
    else yield* readArrived(repository, digest, { start: offset, end }, signal)
  }

  /** As soon as the seeder has the whole: one of an earlier version gives nothing before. */
  async function* readArrived(
    repository: string,
    digest: Digest,
    { start, end }: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const source = await directory.source(repository, digest, signal)
    if (source === undefined || source === 'unknown') throw new BlobUnknownError(digest)
    const transfer = await downloads.ensure(source)
    yield* transfer.read(start, end, signal)
  }

  const isBegun = (digest: Digest) => downloads.find(digest) !== undefined || arrivals.has(digest)
  /** More than one, of which the last is held back. */
  const hasPieces = (digest: Digest) => (directory.arrivingLength(digest) ?? 0) > PIECE_LENGTHS_BYTES[0]

  /** The same; what finds no room here is passed on without being kept. */
  async function* readKeptOrPassing(
    repository: string,
    digest: Digest,
    { start, end }: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    let offset = start
    try {
      await expectObtainable(repository, digest)
      for await (const chunk of read(repository, digest, { start, end }, signal)) {
        offset += chunk.length
        yield chunk
      }
    } catch (error) {
      const source = error instanceof CacheDiskFullError ? directory.knownSource(digest) : undefined
      if (source === undefined) throw error
      yield* passing.read(source, { start: offset, end }, signal)
    }
  }

  /** @throws UnobtainableError for what is not here whole and cannot be had: it may have been whole a moment ago, and damaged */
  const expectObtainable = async (repository: string, digest: Digest): Promise<void> => {
    if (downloads.whole(digest) === undefined) await directory.requireBlob(repository, digest)
  }

  const blobStat = async (repository: string, digest: Digest): Promise<BlobStat | undefined> => {
    // A length alone is no promise: whoever is given it waits for the bytes, while another registry could have given them.
    await expectObtainable(repository, digest)
    const stored = servable(digest)?.metainfo.length
    if (stored !== undefined && directory.hasBlob(repository, digest)) return { digest, length: stored }
    const length = await directory.length(repository, digest)
    if (length === 'unknown') return undefined
    if (length !== undefined)
      return { digest, length, isArriving: directory.arrivingLength(digest) !== undefined }
    // Nobody can say.
    const isOurs = stored !== undefined && (await directory.remembers(repository, digest))
    if (!isOurs) throw directory.unobtainable(digest)
    return { digest, length: stored }
  }

  /** What nobody can give is a miss, so that clients turn to the next registry on their list; it says why. */
  const unobtainableAsMiss = (error: unknown, code: 'MANIFEST_UNKNOWN' | 'BLOB_UNKNOWN'): unknown => {
    if (!(error instanceof UnobtainableError)) return error
    metrics.unobtainable.inc()
    return new OciError(code, error.message, { cause: error, detail: { reason: error.reason } })
  }

  /**
   * containerd asks for a manifest by HEAD as a blob when nobody gives it as a manifest. Some registries answer that with the
   * manifest, as octets, and containerd keeps it as those for ever (containerd#13007): of another registry's repository a look
   * finds only blobs that a manifest names.
   */
  const isNamed = async (repository: string, digest: Digest) =>
    directory.hasBlob(repository, digest) || directory.remembers(repository, digest)

  return {
    manifest: (repository, reference, purpose) =>
      directory.manifest(repository, reference, purpose).catch((error: unknown) => {
        throw unobtainableAsMiss(error, 'MANIFEST_UNKNOWN')
      }),
    blobStat: async (repository, digest, purpose) => {
      const isMirrored = purpose === 'look' && splitMirroredName(repository) !== undefined
      if (isMirrored && !(await isNamed(repository, digest))) return undefined
      return blobStat(repository, digest).catch((error: unknown) => {
        throw unobtainableAsMiss(error, 'BLOB_UNKNOWN')
      })
    },
    // The route has asked for the blob's stat, and so whether the repository has it.
    async *readBlob(repository, digest, { start, end }, signal) {
      let offset = start
      const given = (chunk: Uint8Array) => {
        offset += chunk.length
        metrics.served.inc(chunk.length)
        return chunk
      }
      try {
        // As a rule it is here or comes here, and every step between would cost each chunk some time.
        await expectObtainable(repository, digest)
        const begun = downloads.find(digest)
        try {
          if (begun !== undefined)
            for await (const chunk of begun.read(start, end, signal)) yield given(chunk)
        } catch (error) {
          if (!isOfTheDisk(error)) throw error
        }
        if (offset === end) return
        const from = (range: ByteRange) => readKeptOrPassing(repository, digest, range, signal)
        for await (const chunk of unbrokenRead({ start: offset, end }, from, isOfTheDisk)) yield given(chunk)
      } catch (error) {
        if (offset > start || signal.aborted) throw error
        throw failureAsMiss(digest, unobtainableAsMiss(error, 'BLOB_UNKNOWN'))
      }
    },
    tags: (repository, page): Promise<TagsPage | undefined> => tagLists.tags(repository, page),
    referrers: (repository, subject, query, signal) => referrerLists.page(repository, subject, query, signal),
    hasRepository: (repository) => tagLists.hasRepository(repository),
  }
}

/** 404 for what nobody gives, so that the client goes on to the next registry: after another answer it may not. */
function failureAsMiss(digest: Digest, error: unknown): unknown {
  if (!(error instanceof ShoalError) || error instanceof OciError) return error
  return new OciError('BLOB_UNKNOWN', `the blob cannot be had here now: ${error.message}`, {
    detail: { digest },
    cause: error,
  })
}

/** What was on this node's disk has rotted, and is being fetched again; or the disk is full, and the rest passes through. */
function isOfTheDisk(error: unknown): boolean {
  const cause = error instanceof TransferFailedError ? error.cause : error
  return cause instanceof PieceDamagedError || diskCodeOf(error) !== undefined
}
