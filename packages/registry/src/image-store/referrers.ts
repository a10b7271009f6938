/**
 * Which manifests are attached to which, one small record each, so that signing an image from two places at once loses
 * neither. The records are an index: what they say is in the manifests, and is read from those again where a repository
 * was filled before there was an index.
 * OCI distribution specification, "Listing Referrers" and "Enabling the Referrers API".
 */
import type { Digest } from '@shoal/core'
import type { Manifest } from '@shoal/oci'
import { type Referrer, referrerOf } from '@shoal/oci'
import { Gate, readManifest } from '@shoal/service'
import { type ObjectStore, readWhole } from '@shoal/storage'
import type { ReferrersPage } from '../backend.ts'
import { decodeReferrer, encodeReferrer, keys } from './layout.ts'
import { RecentValues } from './recent-values.ts'
import { fitsPage } from './referrers-page.ts'

/** Annotations come along, and a manifest may consist of them. */
const REFERRER_BYTES_MAX = 8 * 1024 * 1024
/** Most records are shorter, and are read sixteen at a time; of a longer one so much tells its length. */
const SHORT_BYTES_MAX = 64 * 1024
const READS_AT_ONCE = 16
/** Long ones are as long as a manifest, and each is a document in memory while it is read. */
const LONG_READS_AT_ONCE = 2
/** What is read of long ones for one page: a filter may refuse all of them. */
const LONG_BYTES_PER_PAGE = 8 * 1024 * 1024
const INDEXING_AT_ONCE = 2
const REPOSITORIES_KNOWN_MAX = 10_000
/** What a record says never changes: which there are is asked of the store each time. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024
const KEPT_MS_MAX = 10 * 60 * 1000

/** Of a long one the value is not kept. */
interface Known {
  readonly bytes: number
  readonly artifactType?: string
  readonly value?: Referrer
}

export interface ReferrersParts {
  readonly objects: ObjectStore
  /** The digests of all manifests of a repository. */
  readonly manifestDigests: (name: string) => AsyncIterable<Digest>
  readonly manifest: (name: string, digest: Digest) => Promise<Manifest | undefined>
  readonly nowMs: () => number
}

export class Referrers {
  readonly #parts: ReferrersParts
  /** Repositories whose index is complete. */
  readonly #indexed = new Set<string>()
  readonly #indexing = new Map<string, Promise<void>>()
  readonly #indexGate = new Gate(INDEXING_AT_ONCE)
  readonly #longGate = new Gate(LONG_READS_AT_ONCE)
  readonly #known: RecentValues<Known>
  readonly #long: RecentValues<Referrer>

  constructor(parts: ReferrersParts) {
    this.#parts = parts
    const kept = { weightMax: KEPT_BYTES_MAX, ageMsMax: KEPT_MS_MAX, nowMs: parts.nowMs }
    this.#known = new RecentValues({ ...kept, weigh: ({ value, bytes }) => 512 + (value ? bytes : 0) })
    this.#long = new RecentValues({ ...kept, weigh: ({ size }) => size })
  }

  /** @returns the tag of what was written */
  async add(name: string, subject: Digest, referrer: Referrer): Promise<string> {
    // While there is little to look through: at the first question there may be much, and somebody waits.
    await this.#index(name)
    return this.#put(name, subject, referrer)
  }

  async #put(name: string, subject: Digest, referrer: Referrer): Promise<string> {
    const { objects, nowMs } = this.#parts
    const key = keys.referrer(name, subject, referrer.digest)
    const outcome = await objects.put(key, encodeReferrer(referrer, nowMs()))
    return outcome.kind === 'stored' ? outcome.etag : ''
  }

  /** @param etag removes it only as it was written with this tag */
  async remove(name: string, subject: Digest, referrer: Digest, etag?: string): Promise<void> {
    const { objects } = this.#parts
    const key = keys.referrer(name, subject, referrer)
    await (etag === undefined ? objects.delete(key) : objects.deleteIf(key, etag))
    this.#known.delete(key)
    this.#long.delete(key)
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
    let longBytes = 0
    let from = after === undefined ? undefined : prefix + after
    for (;;) {
      const listed = await this.#parts.objects.list(prefix, {
        keysMax: READS_AT_ONCE,
        ...(from === undefined ? {} : { after: from }),
      })
      const found = await Promise.all(listed.keys.map((key) => this.#look(key)))
      for (const [i, key] of listed.keys.entries()) {
        const known = found[i]
        if (known !== undefined && !isOther(known, artifactType)) {
          const isFull = !fitsPage({ count: referrers.length, bytes }, known.bytes)
          if (isFull || longBytes >= LONG_BYTES_PER_PAGE)
            return { referrers, next: from!.slice(prefix.length) }
          const value = known.value ?? (await this.#readLong(key))
          if (known.value === undefined) longBytes += known.bytes
          if (value !== undefined && (artifactType === undefined || value.artifactType === artifactType)) {
            referrers.push(value)
            bytes += known.bytes
          }
        }
        from = key
      }
      if (listed.next === undefined) return { referrers }
      from = listed.next
    }
  }

  /** A record, or of a long one how long it is. */
  #look(key: string): Promise<Known | undefined> {
    return this.#known.get(key, async () => {
      const object = await this.#parts.objects.read(key, { range: { start: 0, end: SHORT_BYTES_MAX } })
      if (object === undefined) return undefined
      const { length } = object
      const bytes = await readWhole(
        key,
        { ...object, length: Math.min(length, SHORT_BYTES_MAX) },
        SHORT_BYTES_MAX,
      )
      return length > SHORT_BYTES_MAX ? { bytes: length } : knownOf(decodeReferrer(key, bytes), length)
    })
  }

  #readLong(key: string): Promise<Referrer | undefined> {
    return this.#long.get(key, () =>
      this.#longGate.run(async () => {
        const object = await this.#parts.objects.read(key)
        if (object === undefined) return undefined
        const value = decodeReferrer(key, await readWhole(key, object, REFERRER_BYTES_MAX))
        const { artifactType = '' } = value
        this.#known.set(key, { bytes: object.length, artifactType })
        return value
      }),
    )
  }

  /** Once for each repository, whoever asks meanwhile. */
  async #index(name: string): Promise<void> {
    if (this.#indexed.has(name)) return
    let indexing = this.#indexing.get(name)
    if (indexing === undefined) {
      indexing = this.#indexGate.run(() => this.#buildIndex(name)).finally(() => this.#indexing.delete(name))
      this.#indexing.set(name, indexing)
    }
    await indexing
  }

  /** Finds the referrers among manifests that were stored before there was an index. */
  async #buildIndex(name: string): Promise<void> {
    const { objects, manifestDigests } = this.#parts
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
    if (parsed?.subject === undefined) return
    const subject = parsed.subject.digest
    if ((await this.#parts.objects.stat(keys.referrer(name, subject, digest))) !== undefined) return
    await this.#put(name, subject, referrerOf(parsed, digest, stored!.length))
  }
}

function knownOf(value: Referrer, bytes: number): Known {
  return { bytes, value, artifactType: value.artifactType ?? '' }
}

/** Whether it is known to be of another type than is asked for. */
function isOther(known: Known, artifactType: string | undefined): boolean {
  return artifactType !== undefined && known.artifactType !== undefined && known.artifactType !== artifactType
}
