/** Repositories in the object store: which there are, and which blobs each may read. */

import type { Digest } from '@shoal/core'
import type { ObjectStore } from '@shoal/storage'
import type { RepositoriesPage } from '../backend.ts'
import { LIST_KEYS_MAX } from './each-page.ts'
import { ContendedError } from './errors.ts'
import { encodeBlobLink, keys } from './layout.ts'
import { RecentValues } from './recent-values.ts'

/** How long another replica's deletion may go unseen. */
const CONTENT_AGE_MS_MAX = 60_000
const LINKS_KEPT_MAX = 32_768

/** Whoever loses a race for a link looks again. So many lost in a row are a fault, not races. */
const ATTEMPTS_MAX = 8

/** Requests to the store for one page of names: the rest is the next page's. */
export const LOOKS_PER_PAGE_MAX = 64

interface Link {
  readonly etag: string
  readonly linkedAtMs: number
}

export class Repositories {
  readonly #objects: ObjectStore
  readonly #nowMs: () => number
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
    this.#links = new RecentValues({ weightMax: LINKS_KEPT_MAX, ageMsMax: CONTENT_AGE_MS_MAX, nowMs })
  }

  async exists(name: string): Promise<boolean> {
    return (await this.#objects.list(keys.repository(name), { keysMax: 1 })).keys.length > 0
  }

  /**
   * The names, in the order of their keys. Names lie among the keys of what is in them, so that a look at the store gives one
   * name at least, and as many as lie close to each other.
   */
  async page({ countMax, after }: { countMax: number; after?: string }): Promise<RepositoriesPage> {
    const repositories: string[] = []
    let last = after
    for (let looks = 0; repositories.length < countMax; looks++) {
      if (looks === LOOKS_PER_PAGE_MAX) return { repositories, ...(last === undefined ? {} : { next: last }) }
      const listed = await this.#objects.list(keys.repositories, {
        keysMax: LIST_KEYS_MAX,
        ...(last === undefined ? {} : { after: behindRepository(last) }),
      })
      if (listed.keys.length === 0) return { repositories }
      for (const key of listed.keys) {
        const name = nameOfKey(key)
        if (name === undefined || name === last) continue
        if (repositories.length === countMax)
          return { repositories, ...(last === undefined ? {} : { next: last }) }
        repositories.push(name)
        last = name
      }
      if (listed.next === undefined) return { repositories }
    }
    const isMore =
      last !== undefined &&
      (await this.#objects.list(keys.repositories, { after: behindRepository(last), keysMax: 1 })).keys
        .length > 0
    return { repositories, ...(isMore ? { next: last } : {}) }
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
    throw new ContendedError(key, `changed ${ATTEMPTS_MAX} times while it was leased`)
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

  #link(key: string): Promise<Link | undefined> {
    return this.#links.get(key, async () => {
      const stat = await this.#objects.stat(key)
      return stat && { etag: stat.etag, linkedAtMs: stat.modifiedAtMs }
    })
  }
}

/** After every key of the repository itself, and before those of `<name>/…` that follow them: `~` is in no key. */
function behindRepository(name: string): string {
  return `${keys.repository(name)}~`
}

function nameOfKey(key: string): string | undefined {
  return /^repos\/(.+?)\/_/.exec(key)?.[1]
}
