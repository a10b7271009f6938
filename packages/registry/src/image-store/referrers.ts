/**
 * Which manifests are attached to which, one small record each, so that signing an image from two places at once loses
 * neither. The records are an index: what they say is in the manifests, and is read from those again where a repository
 * was filled before there was an index.
 * OCI distribution specification, "Listing Referrers" and "Enabling the Referrers API".
 */
import type { Digest } from '@shoal/core'
import { type Referrer, referrerOf } from '@shoal/oci'
import { type ObjectStore, readWhole } from '@shoal/storage'
import type { Manifest, ReferrersPage } from '../backend.ts'
import { readManifest } from '../manifest-text.ts'
import { decodeReferrer, encodeReferrer, keys } from './layout.ts'

/** Annotations come along, and a manifest may consist of them. */
const REFERRER_BYTES_MAX = 8 * 1024 * 1024
/** Clients read an answer whole: as long as the longest manifest, and a page more at most. */
const PAGE_BYTES = 2 * 1024 * 1024
const PAGE_REFERRERS_MAX = 100
const READS_AT_ONCE = 16
const REPOSITORIES_KNOWN_MAX = 10_000

export interface ReferrersParts {
  readonly objects: ObjectStore
  /** The digests of all manifests of a repository. */
  readonly manifestDigests: (name: string) => AsyncIterable<Digest>
  readonly manifest: (name: string, digest: Digest) => Promise<Manifest | undefined>
}

export class Referrers {
  readonly #parts: ReferrersParts
  /** Repositories whose index is complete. */
  readonly #indexed = new Set<string>()

  constructor(parts: ReferrersParts) {
    this.#parts = parts
  }

  async add(name: string, subject: Digest, referrer: Referrer): Promise<void> {
    await this.#parts.objects.put(keys.referrer(name, subject, referrer.digest), encodeReferrer(referrer))
  }

  async remove(name: string, subject: Digest, referrer: Digest): Promise<void> {
    await this.#parts.objects.delete(keys.referrer(name, subject, referrer))
  }

  async page(
    name: string,
    subject: Digest,
    { artifactType, after }: { readonly artifactType?: string; readonly after?: string },
  ): Promise<ReferrersPage> {
    await this.#index(name)
    const prefix = keys.referrers(name, subject)
    const referrers: Referrer[] = []
    let bytes = 0
    let from = after === undefined ? undefined : prefix + after
    for (;;) {
      const listed = await this.#parts.objects.list(prefix, {
        keysMax: READS_AT_ONCE,
        ...(from === undefined ? {} : { after: from }),
      })
      const found = await Promise.all(listed.keys.map((key) => this.#read(key)))
      for (const referrer of found) {
        if (referrer === undefined) continue
        if (artifactType !== undefined && referrer.value.artifactType !== artifactType) continue
        referrers.push(referrer.value)
        bytes += referrer.bytes
      }
      from = listed.next
      if (from === undefined) return { referrers }
      if (bytes >= PAGE_BYTES || referrers.length >= PAGE_REFERRERS_MAX)
        return { referrers, next: from.slice(prefix.length) }
    }
  }

  async #read(key: string): Promise<{ readonly value: Referrer; readonly bytes: number } | undefined> {
    const object = await this.#parts.objects.read(key)
    if (object === undefined) return undefined
    const bytes = await readWhole(key, object, REFERRER_BYTES_MAX)
    return { value: decodeReferrer(key, bytes), bytes: bytes.length }
  }

  /** Once for each repository: finds the referrers among manifests that were stored before there was an index. */
  async #index(name: string): Promise<void> {
    const { objects, manifestDigests } = this.#parts
    if (this.#indexed.has(name)) return
    const marker = keys.referrersIndexed(name)
    if ((await objects.stat(marker)) === undefined) {
      let isEmpty = true
      let some: Digest[] = []
      // Each is a round trip or two to the store, and an agent waits for the answer for two seconds.
      for await (const digest of manifestDigests(name)) {
        isEmpty = false
        some.push(digest)
        if (some.length < READS_AT_ONCE) continue
        await Promise.all(some.map((each) => this.#addIfReferrer(name, each)))
        some = []
      }
      await Promise.all(some.map((each) => this.#addIfReferrer(name, each)))
      // Whoever asks about names that do not exist leaves nothing behind.
      if (isEmpty) return
      await objects.put(marker, Buffer.from('{"version":1}'))
    }
    if (this.#indexed.size >= REPOSITORIES_KNOWN_MAX) this.#indexed.clear()
    this.#indexed.add(name)
  }

  async #addIfReferrer(name: string, digest: Digest): Promise<void> {
    const stored = await this.#parts.manifest(name, digest)
    const parsed = stored && readManifest(stored.bytes, stored.mediaType)
    if (parsed?.subject !== undefined)
      await this.add(name, parsed.subject.digest, referrerOf(parsed, digest, stored!.length))
  }
}
