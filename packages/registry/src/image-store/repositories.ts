/**
 * Repositories in the object store: which blobs each may read, its manifests and its tags.
 * Manifests by digest never change and are kept in memory for a while; tags for a moment, so that a burst of nodes that
 * ask for one tag costs the store one read.
 */
import { type Digest, tryParseDigest } from '@shoal/core'
import { type ObjectStore, readWhole } from '@shoal/storage'
import type { Manifest, TagsPage } from '../backend.ts'
import {
  decodeManifest,
  decodeTagRecord,
  encodeBlobLink,
  encodeManifest,
  encodeTagRecord,
  keys,
  MANIFEST_STORED_BYTES_MAX,
  RECORD_BYTES_MAX,
  type TagRecord,
} from './layout.ts'
import { RecentValues } from './recent-values.ts'

/** How long another replica's push of the same tag may go unseen. */
const TAG_AGE_MS_MAX = 1_000
const TAGS_KEPT_MAX = 4_096
/** How long another replica's deletion may go unseen. */
const CONTENT_AGE_MS_MAX = 60_000
const LINKS_KEPT_MAX = 32_768
const MANIFEST_BYTES_KEPT_MAX = 32 * 1024 * 1024
/** S3 gives at most so many keys at a time. */
const LIST_KEYS_MAX = 1_000
const READS_AT_ONCE = 16

/** Whoever loses a race for a link looks again; so many races in a row are something else. */
const ATTEMPTS_MAX = 8

interface Link {
  readonly etag: string
  readonly linkedAtMs: number
}

export class Repositories {
  readonly #objects: ObjectStore
  readonly #nowMs: () => number
  readonly #tags: RecentValues<TagRecord>
  readonly #manifests: RecentValues<Manifest>
  readonly #leaseMs: number
  readonly #links: RecentValues<Link>

  /** @param init.leaseMs age from which a link that is relied on is written anew */
  constructor(
    { objects, nowMs }: { objects: ObjectStore; nowMs: () => number },
    { leaseMs }: { leaseMs: number },
  ) {
    this.#objects = objects
    this.#nowMs = nowMs
    this.#leaseMs = leaseMs
    this.#tags = new RecentValues({ weightMax: TAGS_KEPT_MAX, ageMsMax: TAG_AGE_MS_MAX, nowMs })
    this.#links = new RecentValues({ weightMax: LINKS_KEPT_MAX, ageMsMax: CONTENT_AGE_MS_MAX, nowMs })
    this.#manifests = new RecentValues({
      weightMax: MANIFEST_BYTES_KEPT_MAX,
      weigh: ({ length }) => 512 + length,
      ageMsMax: CONTENT_AGE_MS_MAX,
      nowMs,
    })
  }

  async exists(name: string): Promise<boolean> {
    return (await this.#objects.list(keys.repository(name), { keysMax: 1 })).keys.length > 0
  }

  async hasBlob(name: string, digest: Digest): Promise<boolean> {
    return (await this.#link(keys.blobLink(name, digest))) !== undefined
  }

  /** As `hasBlob`, for those who are about to rely on it: garbage collection leaves the link alone for a while. */
  async leaseBlob(name: string, digest: Digest): Promise<boolean> {
    const key = keys.blobLink(name, digest)
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const link = await this.#link(key)
      if (link === undefined) return false
      if (link.linkedAtMs > this.#nowMs() - this.#leaseMs) return true
      const linkedAtMs = this.#nowMs()
      const outcome = await this.#objects.put(key, encodeBlobLink(linkedAtMs), { ifMatch: link.etag })
      if (outcome.kind === 'stored') {
        this.#links.set(key, { etag: outcome.etag, linkedAtMs })
        return true
      }
      this.#links.delete(key)
    }
    throw new Error(`${key} changed ${ATTEMPTS_MAX} times while it was leased`)
  }

  async linkBlob(name: string, digest: Digest): Promise<void> {
    const key = keys.blobLink(name, digest)
    // Written anew where it is there already: it may be left from a blob that is gone, and about to go as well.
    const linkedAtMs = this.#nowMs()
    const outcome = await this.#objects.put(key, encodeBlobLink(linkedAtMs))
    if (outcome.kind === 'stored') this.#links.set(key, { etag: outcome.etag, linkedAtMs })
  }

  /** @returns false when the repository did not have it */
  async unlinkBlob(name: string, digest: Digest): Promise<boolean> {
    const key = keys.blobLink(name, digest)
    const isThere = (await this.#objects.stat(key)) !== undefined
    await this.#objects.delete(key)
    this.#links.delete(key)
    return isThere
  }

  async manifest(name: string, digest: Digest): Promise<Manifest | undefined> {
    const key = keys.manifest(name, digest)
    return this.#manifests.get(key, async () => {
      const stored = await this.#readSmall(key, MANIFEST_STORED_BYTES_MAX)
      if (stored === undefined) return undefined
      const { mediaType, bytes } = decodeManifest(key, stored)
      return { digest, length: bytes.length, mediaType, bytes }
    })
  }

  async putManifest(name: string, { digest, mediaType, bytes }: Manifest): Promise<void> {
    const key = keys.manifest(name, digest)
    await this.#objects.put(key, encodeManifest(mediaType, bytes), { ifAbsent: true })
  }

  /** @returns false when there was none */
  async deleteManifest(name: string, digest: Digest): Promise<boolean> {
    const key = keys.manifest(name, digest)
    const isThere = (await this.#objects.stat(key)) !== undefined
    await this.#objects.delete(key)
    this.#manifests.delete(key)
    return isThere
  }

  /** Every manifest of the repository, in the order of their keys. */
  async *manifestDigests(name: string): AsyncGenerator<Digest> {
    const prefix = keys.manifests(name)
    for await (const page of this.#pages(prefix)) {
      for (const key of page) {
        const digest = tryParseDigest(key.slice(prefix.length).replace('/', ':'))
        if (digest !== undefined) yield digest
      }
    }
  }

  async tag(name: string, tag: string): Promise<TagRecord | undefined> {
    const key = keys.tag(name, tag)
    return this.#tags.get(key, async () => {
      const stored = await this.#readSmall(key, RECORD_BYTES_MAX)
      return stored && decodeTagRecord(key, stored)
    })
  }

  /** The last writer wins: a tag is what was pushed last. */
  async putTag(name: string, tag: string, digest: Digest, { isPinned = false } = {}): Promise<void> {
    const key = keys.tag(name, tag)
    const record = { digest, updatedAtMs: this.#nowMs(), ...(isPinned ? { isPinned } : {}) }
    await this.#objects.put(key, encodeTagRecord(record))
    // Forgotten rather than set: of two pushes at once, only the store knows which was last.
    this.#tags.delete(key)
  }

  /** @returns false when there was none */
  async deleteTag(name: string, tag: string): Promise<boolean> {
    const key = keys.tag(name, tag)
    const isThere = (await this.#objects.stat(key)) !== undefined
    await this.#objects.delete(key)
    this.#tags.delete(key)
    return isThere
  }

  /** Removes every tag that points to the manifest. */
  async deleteTagsOf(name: string, digest: Digest): Promise<void> {
    const prefix = keys.tags(name)
    for await (const page of this.#pages(prefix)) {
      for (let first = 0; first < page.length; first += READS_AT_ONCE) {
        const some = page.slice(first, first + READS_AT_ONCE)
        await Promise.all(
          some.map(async (key) => {
            const stored = await this.#readSmall(key, RECORD_BYTES_MAX)
            if (stored === undefined || decodeTagRecord(key, stored).digest !== digest) return
            await this.#objects.delete(key)
            this.#tags.delete(key)
          }),
        )
      }
    }
  }

  /** In byte order. */
  async tags(name: string, { tagsMax, after }: { tagsMax: number; after?: string }): Promise<TagsPage> {
    const prefix = keys.tags(name)
    const tags: string[] = []
    let from = after === undefined ? undefined : prefix + after
    do {
      const keysMax = Math.min(LIST_KEYS_MAX, tagsMax + 1 - tags.length)
      const page = await this.#objects.list(prefix, {
        keysMax,
        ...(from === undefined ? {} : { after: from }),
      })
      tags.push(...page.keys.map((key) => key.slice(prefix.length)))
      from = page.next
    } while (from !== undefined && tags.length <= tagsMax)
    return { tags: tags.slice(0, tagsMax), more: tags.length > tagsMax }
  }

  #link(key: string): Promise<Link | undefined> {
    return this.#links.get(key, async () => {
      const stat = await this.#objects.stat(key)
      return stat && { etag: stat.etag, linkedAtMs: stat.modifiedAtMs }
    })
  }

  async *#pages(prefix: string): AsyncGenerator<readonly string[]> {
    let after: string | undefined
    do {
      const page = await this.#objects.list(prefix, {
        keysMax: LIST_KEYS_MAX,
        ...(after === undefined ? {} : { after }),
      })
      yield page.keys
      after = page.next
    } while (after !== undefined)
  }

  async #readSmall(key: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const object = await this.#objects.read(key)
    return object && (await readWhole(key, object, bytesMax))
  }
}
