/**
 * How manifests, their tags and what is attached to them come and go, at several seeders at once.
 *
 * Three kinds of records say together what a repository has: the manifest, each tag that points to it, and one for what it is
 * attached to. No write changes more than one, so whoever changes them leaves a trace in the manifest's record that the other
 * finds:
 *
 * - A push writes the manifest, what it is attached to, the tag, and then looks at the manifest again: when its record is no
 *   longer as it was, a removal has been there. Then the push takes the manifest back, and writes the others once more.
 * - A removal condemns the manifest, removes the tags that point to it, and then marks it as removed, if nobody has taken it
 *   back; if somebody has, it begins again, and removes what that push has brought as well.
 *
 * So a push that was answered has its tag and its manifest, or the removal came after it and took both. A removed manifest keeps
 * its bytes for a grace: a push that died after it had written the tag is repaired by whoever reads the tag, and by garbage
 * collection. Why: docs/decisions/removals-leave-a-trace.md.
 */

import type { Digest } from '@shoal/core'
import type { Manifest } from '@shoal/oci'
import { referrerOf } from '@shoal/oci'
import { readManifest } from '@shoal/service'
import { KeyLocks, StorageFullError } from '@shoal/storage'
import { ContendedError } from './errors.ts'
import type { Manifests, StoredManifestRecord } from './manifests.ts'
import type { Referrers } from './referrers.ts'
import type { Tags } from './tags.ts'

export interface ManifestChangesParts {
  readonly manifests: Manifests
  readonly tags: Tags
  readonly referrers: Referrers
  readonly nowMs: () => number
  /** Names a removal. */
  readonly newId: () => string
  readonly pause: (ms: number) => Promise<void>
}

/** Whoever loses a race against pushes begins again. So many lost in a row are a fault, not races. */
const ATTEMPTS_MAX = 8
/** A push needs three requests to the store to get through. */
const REMOVAL_PAUSE_MS = 50

export class ManifestChanges {
  /** Of one process: there nobody needs to begin again. */
  readonly #locks = new KeyLocks()

  readonly #parts: ManifestChangesParts

  constructor(parts: ManifestChangesParts) {
    this.#parts = parts
  }

  /** @returns when the manifest is there, under each of the tags */
  put(name: string, manifest: Manifest, tags: readonly string[]): Promise<void> {
    return this.#locks.run(`${name}@${manifest.digest}`, () => this.#put(name, manifest, tags))
  }

  async #put(name: string, manifest: Manifest, tags: readonly string[]): Promise<void> {
    const { manifests } = this.#parts
    let etag = await manifests.ensure(name, manifest)
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      await this.#attach(name, manifest)
      for (const tag of tags) await this.#parts.tags.put(name, tag, manifest.digest)
      const now = await manifests.ensure(name, manifest, etag)
      if (now === etag) return
      // A removal came between, and may have taken what was written since.
      etag = now
    }
    throw new ContendedError(
      `${manifest.digest} of ${name}`,
      `was removed ${ATTEMPTS_MAX} times while it was pushed`,
    )
  }

  /** Gives a tag to a manifest that is there already, as far as anybody knows. */
  async putTag(
    name: string,
    tag: string,
    digest: Digest,
    options: { readonly isPinned?: boolean },
  ): Promise<void> {
    await this.#parts.tags.put(name, tag, digest, options)
    await this.revive(name, digest)
  }

  /** The manifest that a tag points to. */
  async tagged(name: string, tag: string): Promise<Manifest | undefined> {
    const { manifests, tags } = this.#parts
    const known = await tags.get(name, tag)
    if (known === undefined) return undefined
    const manifest = await manifests.get(name, known.digest)
    if (manifest !== undefined) return manifest
    // Removed a moment ago, with the tag; or else the push that wrote the tag never ended.
    const now = await tags.read(name, tag)
    return now && this.revive(name, now.digest)
  }

  /** @returns false when there was none */
  remove(name: string, digest: Digest): Promise<boolean> {
    return this.#locks.run(`${name}@${digest}`, () => this.#remove(name, digest))
  }

  async #remove(name: string, digest: Digest): Promise<boolean> {
    const { manifests, tags, referrers, nowMs } = this.#parts
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      // A push at another seeder gets through meanwhile; two that begin again at once could do so for ever.
      if (attempt > 1) await this.#parts.pause(REMOVAL_PAUSE_MS * attempt)
      const stored = await manifests.read(name, digest)
      if (stored === undefined || stored.removedAtMs !== undefined) return attempt > 1
      if (stored.isDamaged) {
        // Nobody can take it back: whoever pushes it writes another.
        await tags.removeAllOf(name, digest)
        if (await manifests.bury(name, digest, stored.etag)) return true
        continue
      }
      const etag = await this.#condemn(name, stored)
      if (etag === undefined) continue
      await tags.removeAllOf(name, digest)
      const subject = subjectOf(stored.manifest)
      if (subject !== undefined) await referrers.remove(name, subject, digest)
      if (!(await manifests.remove(name, { ...stored, etag }, nowMs()))) continue
      // It could not be condemned: a push that saw nothing of this may have given it a tag.
      if (etag === stored.etag && (await tags.digests(name)).has(digest))
        await this.#put(name, stored.manifest, [])
      return true
    }
    throw new ContendedError(`${digest} of ${name}`, `was pushed ${ATTEMPTS_MAX} times while it was removed`)
  }

  /**
   * Removes those that no tag points to; whoever relies on one meanwhile takes it back.
   * @param leasedBeforeMs who was pushed or looked for since then stays
   * @returns which were removed
   */
  async removeUntagged(
    name: string,
    digests: readonly Digest[],
    leasedBeforeMs: number,
  ): Promise<readonly Digest[]> {
    const { manifests, tags } = this.#parts
    const condemned: StoredManifestRecord[] = []
    for (const digest of digests) {
      const stored = await manifests.read(name, digest)
      if (stored === undefined || stored.removedAtMs !== undefined || stored.isDamaged) continue
      if (stored.leasedAtMs >= leasedBeforeMs) continue
      const etag = await this.#condemn(name, stored)
      if (etag !== undefined) condemned.push({ ...stored, etag })
    }
    if (condemned.length === 0) return []
    // After they were condemned: a push that has written a tag before is seen here, and one that writes it later sees that.
    const tagged = await tags.digests(name)
    const removed: Digest[] = []
    for (const stored of condemned) {
      const { digest } = stored.manifest
      if (tagged.has(digest)) await manifests.acquit(name, stored)
      else if (await this.#removeCondemned(name, stored)) removed.push(digest)
    }
    return removed
  }

  async #removeCondemned(name: string, stored: StoredManifestRecord): Promise<boolean> {
    const { manifests, referrers, nowMs } = this.#parts
    const { digest } = stored.manifest
    const subject = subjectOf(stored.manifest)
    if (subject !== undefined) await referrers.remove(name, subject, digest)
    if (await manifests.remove(name, stored, nowMs())) return true
    if (subject !== undefined) await this.attachAgain(name, digest)
    return false
  }

  /** The record that says what a manifest is attached to was taken away, and the manifest was not. */
  async attachAgain(name: string, digest: Digest): Promise<void> {
    const { manifests, referrers } = this.#parts
    const stored = await manifests.read(name, digest)
    if (stored === undefined || stored.removedAtMs !== undefined || stored.isDamaged) return
    const subject = subjectOf(stored.manifest)
    if (subject === undefined) return
    const etag = await this.#attach(name, stored.manifest)
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const now = await manifests.read(name, digest)
      if (now === undefined || now.removedAtMs !== undefined)
        return referrers.remove(name, subject, digest, etag)
      // Whoever has condemned it may have looked for the record before it was there.
      if (now.condemnedBy === undefined || (await manifests.acquit(name, now))) return
    }
  }

  /**
   * Takes back what a removal has marked, and says again what it is attached to.
   * @returns undefined when its bytes are gone
   */
  async revive(name: string, digest: Digest): Promise<Manifest | undefined> {
    const { manifests } = this.#parts
    const stored = await manifests.read(name, digest)
    if (stored === undefined || stored.isDamaged) return undefined
    if (stored.condemnedBy === undefined && stored.removedAtMs === undefined) return stored.manifest
    await manifests.ensure(name, stored.manifest)
    await this.#attach(name, stored.manifest)
    return stored.manifest
  }

  /** @returns the record's tag, as it was where a full store cannot be written to; undefined when somebody was first */
  async #condemn(name: string, stored: Parameters<Manifests['condemn']>[1]): Promise<string | undefined> {
    try {
      return await this.#parts.manifests.condemn(name, stored, this.#parts.newId())
    } catch (error) {
      if (!(error instanceof StorageFullError)) throw error
      return stored.etag
    }
  }

  async #attach(name: string, manifest: Manifest): Promise<string | undefined> {
    const parsed = readManifest(manifest.bytes, manifest.mediaType)
    if (parsed.subject === undefined) return undefined
    const referrer = referrerOf(parsed, manifest.digest, manifest.length)
    return this.#parts.referrers.add(name, parsed.subject.digest, referrer)
  }
}

function subjectOf(manifest: Manifest): Digest | undefined {
  return readManifest(manifest.bytes, manifest.mediaType).subject?.digest
}
