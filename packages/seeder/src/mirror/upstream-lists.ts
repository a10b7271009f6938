/**
 * Lists of tags and of referrers that other registries give, as answers of this one: asked for once by all who ask for the
 * same in the same moment, a few at a time, and cut into pages of bounded length.
 */
import type { Digest } from '@shoal/core'
import type { Referrer, TagsPage } from '@shoal/oci'
import { cutReferrersPage, type ReferrersPage } from '@shoal/registry'
import { Gate } from '@shoal/service'
import { LRUCache } from 'lru-cache'
import type { UpstreamRepository } from './upstreams.ts'

export interface UpstreamListsParts {
  readonly nowMs: () => number
}

interface KnownList {
  readonly referrers: readonly Referrer[]
  readonly heardAtMs: number
}

/** A registry is given this long, whoever has left in the meantime. */
const QUESTION_TIMEOUT_MS = 30_000
/** A list may have 8 MiB, and is a document in memory while it is read. */
const LISTS_AT_ONCE = 8
/** The pages after the first are of the list that the first one is of, for so long. */
const LIST_KEPT_MS = 60_000
/** Lists of more than one page. */
const LISTS_KEPT_MAX = 16

export class UpstreamLists {
  readonly #nowMs: () => number
  readonly #gate = new Gate(LISTS_AT_ONCE)
  readonly #asked = new Map<string, Promise<unknown>>()
  readonly #kept = new LRUCache<string, KnownList>({ max: LISTS_KEPT_MAX })

  constructor(parts: UpstreamListsParts) {
    this.#nowMs = parts.nowMs
  }

  /** @throws UpstreamError */
  tags(
    { name, repository, client }: UpstreamRepository,
    page: { tagsMax: number; after?: string },
  ): Promise<TagsPage | undefined> {
    const { tagsMax, after = '' } = page
    return this.#once(`tags ${name} ${tagsMax} ${after}`, (signal) => client.tags(repository, page, signal))
  }

  /** @throws UpstreamError */
  async referrers(
    { name, repository, client }: UpstreamRepository,
    subject: Digest,
    { artifactType, after }: { readonly artifactType?: string; readonly after?: string },
  ): Promise<ReferrersPage> {
    const key = `referrers ${name} ${subject} ${artifactType ?? ''}`
    const kept = this.#kept.peek(key)
    const isKept = after !== undefined && kept !== undefined && this.#nowMs() - kept.heardAtMs < LIST_KEPT_MS
    const referrers = isKept
      ? kept.referrers
      : await this.#once(key, (signal) =>
          client.referrers(repository, subject, artifactType === undefined ? {} : { artifactType }, signal),
        )
    const page = cutReferrersPage(referrers, after)
    if (!isKept) this.#kept.delete(key)
    if (!isKept && page.next !== undefined) this.#kept.set(key, { referrers, heardAtMs: this.#nowMs() })
    return page
  }

  #once<T>(key: string, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const asked = this.#asked.get(key) as Promise<T> | undefined
    if (asked !== undefined) return asked
    const asking = this.#gate
      .run(() => ask(AbortSignal.timeout(QUESTION_TIMEOUT_MS)))
      .finally(() => this.#asked.delete(key))
    this.#asked.set(key, asking)
    return asking
  }
}
