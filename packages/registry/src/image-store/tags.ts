/**
 * The tags of repositories in the object store, kept in memory for a moment: a burst of nodes that ask for one tag costs the
 * store one read.
 *
 * A tag is removed by a conditional write and not by deleting its record: not every S3 server deletes on a condition, and a
 * push of the tag that comes between a look and a deletion would be lost. Garbage collection buries what is left.
 */

import type { Digest } from '@shoal/core'
import type { TagsPage } from '@shoal/oci'
import { type ObjectStore, readWhole, StorageFullError } from '@shoal/storage'
import { eachPage, LIST_KEYS_MAX } from './each-page.ts'
import { ContendedError } from './errors.ts'
import {
  decodeTagRecord,
  encodeRemovedTag,
  encodeTagRecord,
  keys,
  RECORD_BYTES_MAX,
  REMOVED_TAG_BYTES_MAX,
  type RemovedTag,
  type TagRecord,
} from './layout.ts'
import { RecentValues } from './recent-values.ts'

/** How long another replica's push of the same tag may go unseen. */
const AGE_MS_MAX = 1_000
const KEPT_MAX = 4_096
const READS_AT_ONCE = 16
/** Whoever loses a race for a tag looks again. So many lost in a row are a fault, not races. */
const ATTEMPTS_MAX = 8

export class Tags {
  readonly #objects: ObjectStore
  readonly #nowMs: () => number
  readonly #kept: RecentValues<TagRecord>

  constructor({ objects, nowMs }: { objects: ObjectStore; nowMs: () => number }) {
    this.#objects = objects
    this.#nowMs = nowMs
    this.#kept = new RecentValues({ weightMax: KEPT_MAX, ageMsMax: AGE_MS_MAX, nowMs })
  }

  async get(name: string, tag: string): Promise<TagRecord | undefined> {
    const key = keys.tag(name, tag)
    return this.#kept.get(key, async () => liveTag((await this.#read(key))?.record))
  }

  /** Reads past what is remembered. */
  async read(name: string, tag: string): Promise<TagRecord | undefined> {
    return liveTag((await this.#read(keys.tag(name, tag)))?.record)
  }

  /** The last writer wins: a tag is what was pushed last. */
  async put(name: string, tag: string, digest: Digest, { isPinned = false } = {}): Promise<void> {
    const key = keys.tag(name, tag)
    const record = { digest, updatedAtMs: this.#nowMs(), ...(isPinned ? { isPinned } : {}) }
    await this.#objects.put(key, encodeTagRecord(record))
    // Forgotten rather than set: of two pushes at once, only the store knows which was last.
    this.#kept.delete(key)
  }

  /** @returns false when there was none */
  remove(name: string, tag: string): Promise<boolean> {
    return this.#remove(keys.tag(name, tag))
  }

  /** Removes every tag that points to the manifest. */
  async removeAllOf(name: string, digest: Digest): Promise<void> {
    await this.#eachLive(name, async (key) => {
      await this.#remove(key, digest)
    })
  }

  /** What every tag of the repository points to, with the tags. */
  async digests(name: string): Promise<Map<Digest, string[]>> {
    const digests = new Map<Digest, string[]>()
    await this.#eachLive(name, async (key) => {
      const record = liveTag((await this.#read(key))?.record)
      if (record === undefined) return
      const tags = digests.get(record.digest) ?? []
      tags.push(key.slice(keys.tags(name).length))
      digests.set(record.digest, tags)
    })
    return digests
  }

  /** In byte order. */
  async page(name: string, { tagsMax, after }: { tagsMax: number; after?: string }): Promise<TagsPage> {
    const prefix = keys.tags(name)
    const tags: string[] = []
    let from = after === undefined ? undefined : prefix + after
    do {
      const page = await this.#objects.list(prefix, {
        keysMax: Math.min(LIST_KEYS_MAX, tagsMax + 1 - tags.length),
        withLengths: true,
        ...(from === undefined ? {} : { after: from }),
      })
      tags.push(
        ...page.keys
          .filter((_, index) => !isRemovedTag(page.lengths?.[index]))
          .map((key) => key.slice(prefix.length)),
      )
      from = page.next
    } while (from !== undefined && tags.length <= tagsMax)
    return { tags: tags.slice(0, tagsMax), more: tags.length > tagsMax }
  }

  /** @param digest removes it only while it points there */
  async #remove(key: string, digest?: Digest): Promise<boolean> {
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const there = await this.#read(key)
      const record = liveTag(there?.record)
      if (there === undefined || record === undefined) return false
      if (digest !== undefined && record.digest !== digest) return false
      const isRemoved = await this.#mark(key, there.etag)
      this.#kept.delete(key)
      if (isRemoved) return true
    }
    throw new ContendedError(key, `changed ${ATTEMPTS_MAX} times while it was removed`)
  }

  async #mark(key: string, etag: string): Promise<boolean> {
    const removed = encodeRemovedTag({ removedAtMs: this.#nowMs() })
    try {
      return (await this.#objects.put(key, removed, { ifMatch: etag })).kind === 'stored'
    } catch (error) {
      if (!(error instanceof StorageFullError)) throw error
      return this.#objects.deleteIf(key, etag)
    }
  }

  async #eachLive(name: string, work: (key: string) => Promise<void>): Promise<void> {
    for await (const page of eachPage(this.#objects, keys.tags(name), { withLengths: true })) {
      const live = page.keys.filter((_, index) => !isRemovedTag(page.lengths?.[index]))
      for (let first = 0; first < live.length; first += READS_AT_ONCE)
        await Promise.all(live.slice(first, first + READS_AT_ONCE).map(work))
    }
  }

  async #read(
    key: string,
  ): Promise<{ readonly record: TagRecord | RemovedTag; readonly etag: string } | undefined> {
    const object = await this.#objects.read(key)
    if (object === undefined) return undefined
    const record = decodeTagRecord(key, await readWhole(key, object, RECORD_BYTES_MAX))
    return { record, etag: object.etag }
  }
}

export function isRemovedTag(lengthBytes: number | undefined): boolean {
  return lengthBytes !== undefined && lengthBytes <= REMOVED_TAG_BYTES_MAX
}

function liveTag(record: TagRecord | RemovedTag | undefined): TagRecord | undefined {
  return record !== undefined && 'digest' in record ? record : undefined
}
