/**
 * The manifests of repositories in the object store. Their bytes never change and are kept in memory for a while; what a
 * removal says about one does, by conditional writes alone (`manifest-changes.ts`).
 */

import { type Digest, digestAlgorithm, tryParseDigest } from '@shoal/core'
import type { Manifest } from '@shoal/oci'
import { type ObjectStore, readWhole, StorageFullError } from '@shoal/storage'
import type { Logger } from 'pino'
import { contentDigest } from './content-digest.ts'
import { eachPage } from './each-page.ts'
import { ContendedError } from './errors.ts'
import {
  decodeManifest,
  encodeManifest,
  keys,
  MANIFEST_STORED_BYTES_MAX,
  type ManifestRecord,
  type ManifestState,
  StoredRecordInvalidError,
} from './layout.ts'
import { RecentValues } from './recent-values.ts'

/** How long another replica's deletion may go unseen. */
const AGE_MS_MAX = 60_000
const BYTES_KEPT_MAX = 32 * 1024 * 1024
/** Whoever loses a race for a manifest looks again. So many lost in a row are a fault, not races. */
const ATTEMPTS_MAX = 8

/** A manifest as it was read, with the tag that a conditional write needs. */
export interface StoredManifestRecord extends ManifestState {
  readonly manifest: Manifest
  readonly etag: string
  readonly leasedAtMs: number
  /** What is stored is not what the digest says: to clients it is not there, and whoever pushes it replaces it. */
  readonly isDamaged?: true
}

export class Manifests {
  readonly #objects: ObjectStore
  readonly #log: Logger
  readonly #nowMs: () => number
  readonly #leaseMs: number
  readonly #kept: RecentValues<StoredManifestRecord>

  /** @param init.leaseMs age from which a lease is renewed: half of what garbage collection waits */
  constructor(
    { objects, log, nowMs }: { objects: ObjectStore; log: Logger; nowMs: () => number },
    { leaseMs }: { leaseMs: number },
  ) {
    this.#objects = objects
    this.#log = log
    this.#nowMs = nowMs
    this.#leaseMs = leaseMs
    this.#kept = new RecentValues({
      weightMax: BYTES_KEPT_MAX,
      weigh: ({ manifest }) => 512 + manifest.length,
      ageMsMax: AGE_MS_MAX,
      nowMs,
    })
  }

  /** @returns undefined when there is none, or no more */
  async get(name: string, digest: Digest): Promise<Manifest | undefined> {
    return (await this.#live(name, digest))?.manifest
  }

  /** As `get`, for those who are about to rely on it: it is not taken for one that nobody needs. */
  async lease(name: string, digest: Digest): Promise<Manifest | undefined> {
    const key = keys.manifest(name, digest)
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const stored = await this.#live(name, digest)
      if (stored === undefined || this.#isLeased(stored)) return stored?.manifest
      // A full store promises nothing; who pulls, and only looks first, has it all the same.
      const acquitted = this.acquit(name, stored).catch(
        (error) => error instanceof StorageFullError || Promise.reject(error),
      )
      if (await acquitted) return stored.manifest
    }
    throw new ContendedError(key, `changed ${ATTEMPTS_MAX} times while it was leased`)
  }

  /** Reads past what is remembered, a removed one too. */
  async read(name: string, digest: Digest): Promise<StoredManifestRecord | undefined> {
    const key = keys.manifest(name, digest)
    const object = await this.#objects.read(key)
    if (object === undefined) return undefined
    const stored = await readWhole(key, object, MANIFEST_STORED_BYTES_MAX)
    const record = decodeSound(key, digest, stored)
    if (record === undefined) {
      this.#log.error(
        { event: 'manifest-damaged', repository: name, digest, key },
        'a manifest is not what was pushed; nothing of it is served, push the image again or delete it',
      )
      const manifest = { digest, length: 0, mediaType: '', bytes: new Uint8Array() }
      return { manifest, etag: object.etag, leasedAtMs: object.modifiedAtMs, isDamaged: true }
    }
    const { mediaType, bytes, ...state } = record
    const manifest = { digest, length: bytes.length, mediaType, bytes }
    // Records of the first version did not say it.
    return { leasedAtMs: object.modifiedAtMs, ...state, manifest, etag: object.etag }
  }

  /**
   * Sees to it that the manifest is there and that no removal goes on with it.
   * @param knownEtag of the record as it was right
   * @returns the record's tag: another than `knownEtag` when somebody has changed it
   */
  async ensure(name: string, manifest: Manifest, knownEtag?: string): Promise<string> {
    const key = keys.manifest(name, manifest.digest)
    if (knownEtag !== undefined && (await this.#objects.stat(key))?.etag === knownEtag) return knownEtag
    const { mediaType, bytes } = manifest
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const record = encodeManifest({ mediaType, leasedAtMs: this.#nowMs(), bytes })
      const created = await this.#objects.put(key, record, { ifAbsent: true })
      if (created.kind === 'stored') return created.etag
      const there = await this.read(name, manifest.digest)
      if (there === undefined) continue
      const isSound = there.removedAtMs === undefined && there.isDamaged === undefined
      if (isSound && this.#isLeased(there)) return there.etag
      // The media type it came with first stays: it is part of what was promised about the digest.
      const taken = await this.#write(
        name,
        { ...there, ...(there.isDamaged ? { manifest } : {}), leasedAtMs: this.#nowMs() },
        {},
      )
      if (taken !== undefined) return taken
    }
    throw new ContendedError(key, `changed ${ATTEMPTS_MAX} times while it was written`)
  }

  /** Takes it back from a removal, as it was read. @returns false when somebody else changed it since */
  async acquit(name: string, stored: StoredManifestRecord): Promise<boolean> {
    return (await this.#write(name, { ...stored, leasedAtMs: this.#nowMs() }, {})) !== undefined
  }

  /** @returns the record's new tag; undefined when somebody else changed it since it was read */
  condemn(name: string, stored: StoredManifestRecord, condemnedBy: string): Promise<string | undefined> {
    return this.#write(name, stored, { condemnedBy })
  }

  /** @returns false when somebody else changed it since it was read */
  async remove(name: string, stored: StoredManifestRecord, removedAtMs: number): Promise<boolean> {
    try {
      return (await this.#write(name, stored, { removedAtMs })) !== undefined
    } catch (error) {
      if (!(error instanceof StorageFullError)) throw error
      return this.bury(name, stored.manifest.digest, stored.etag)
    }
  }

  /** Removes the record itself. @returns false when somebody changed it since it had this tag */
  async bury(name: string, digest: Digest, etag: string): Promise<boolean> {
    const key = keys.manifest(name, digest)
    const isGone = await this.#objects.deleteIf(key, etag)
    this.#kept.delete(key)
    return isGone
  }

  /** Every manifest of the repository, in the order of their keys; of those that were removed lately too. */
  async *digests(name: string): AsyncGenerator<Digest> {
    const prefix = keys.manifests(name)
    for await (const page of eachPage(this.#objects, prefix)) {
      for (const key of page.keys) {
        const digest = tryParseDigest(key.slice(prefix.length).replace('/', ':'))
        if (digest !== undefined) yield digest
      }
    }
  }

  #live(name: string, digest: Digest): Promise<StoredManifestRecord | undefined> {
    return this.#kept.get(keys.manifest(name, digest), async () => {
      const stored = await this.read(name, digest)
      return stored?.removedAtMs === undefined && stored?.isDamaged === undefined ? stored : undefined
    })
  }

  #isLeased({ condemnedBy, leasedAtMs }: StoredManifestRecord): boolean {
    return condemnedBy === undefined && leasedAtMs > this.#nowMs() - this.#leaseMs
  }

  async #write(
    name: string,
    { manifest, etag, leasedAtMs }: StoredManifestRecord,
    state: ManifestState,
  ): Promise<string | undefined> {
    const { digest, mediaType, bytes } = manifest
    const key = keys.manifest(name, digest)
    const record = encodeManifest({ mediaType, leasedAtMs, ...state, bytes })
    try {
      const outcome = await this.#objects.put(key, record, { ifMatch: etag })
      return outcome.kind === 'stored' ? outcome.etag : undefined
    } finally {
      // Written or refused, the entity tag that is remembered is outdated.
      this.#kept.delete(key)
    }
  }
}

/** @returns undefined when what is stored is not the manifest of that digest */
export function decodeSound(key: string, digest: Digest, stored: Uint8Array): ManifestRecord | undefined {
  try {
    const record = decodeManifest(key, stored)
    return contentDigest(digestAlgorithm(digest), record.bytes) === digest ? record : undefined
  } catch (error) {
    if (!(error instanceof StoredRecordInvalidError)) throw error
    return undefined
  }
}
