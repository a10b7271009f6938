/**
 * Manifests and the meaning of tags, kept in the cache folder: what lets a node answer while the seeder is away.
 * `repos/<name>/_manifests/<alg>/<hex>` is a line with the media type and the bytes; `repos/<name>/_tags/<tag>` the
 * signed record; `cluster/…` what is known of the seeder and the other agents.
 */
import { createHash } from 'node:crypto'
import { type Digest, digestAlgorithm, digestHex, tryParseDigest } from '@shoal/core'
import { type Manifest, OciError } from '@shoal/oci'
import { readManifest } from '@shoal/service'
import {
  type ObjectStore,
  readWhole,
  StorageFullError,
  StorageRefusedError,
  StorageUnavailableError,
} from '@shoal/storage'
import {
  decodeSignedTag,
  encodeSignedTag,
  type ResolvedManifest,
  type SignedTag,
  WireError,
} from '@shoal/wire'

const RECORD_BYTES_MAX = 4 * 1024 * 1024 + 512
/** Of records that the disk did not take: some of the longest manifests, or thousands of usual ones. */
export const UNKEPT_BYTES_MAX = 16 * 1024 * 1024

export class ImageRecords {
  readonly #objects: ObjectStore

  readonly #onUnkept: (error: unknown) => void
  /** What the disk did not take, the latest last: an image can be pulled all the same. */
  readonly #unkept = new Map<string, Uint8Array>()
  #unkeptBytes = 0

  /** @param parts.onUnkept something could not be written, and is in memory only */
  constructor(parts: { objects: ObjectStore; onUnkept?: (error: unknown) => void }) {
    this.#objects = parts.objects
    this.#onUnkept = parts.onUnkept ?? (() => {})
  }

  async manifest(repository: string, digest: Digest): Promise<Manifest | undefined> {
    const record = await this.read(manifestKey(repository, digest))
    if (record === undefined) return undefined
    const lineEnd = record.indexOf(0x0a)
    const bytes = record.subarray(lineEnd + 1)
    // A folder that others can write to proves nothing.
    if (!hasDigest(bytes, digest)) return undefined
    const mediaType = mediaTypeOf(bytes)
    return mediaType === undefined ? undefined : { digest, mediaType, length: bytes.length, bytes }
  }

  /** The manifests of a repository, as many as `countMax` of them. */
  async *manifests(repository: string, countMax: number): AsyncGenerator<Manifest> {
    const prefix = `repos/${repository}/_manifests/`
    const { keys } = await this.#objects.list(prefix, { keysMax: countMax })
    const unkept = [...this.#unkept.keys()].filter((key) => key.startsWith(prefix) && !keys.includes(key))
    for (const key of [...unkept, ...keys].slice(0, countMax)) {
      const digest = tryParseDigest(key.slice(prefix.length).replace('/', ':'))
      const manifest = digest && (await this.manifest(repository, digest))
      if (manifest !== undefined) yield manifest
    }
  }

  async keepManifest(repository: string, { digest, mediaType, bytes }: ResolvedManifest): Promise<void> {
    const record = Buffer.concat([Buffer.from(`${mediaType}\n`, 'latin1'), bytes])
    await this.write(manifestKey(repository, digest), record)
  }

  async tag(repository: string, tag: string): Promise<SignedTag | undefined> {
    const record = await this.read(tagKey(repository, tag))
    try {
      return record && decodeSignedTag(record)
    } catch (error) {
      if (error instanceof WireError) return undefined
      throw error
    }
  }

  async keepTag(signed: SignedTag): Promise<void> {
    await this.write(tagKey(signed.record.repository, signed.record.tag), encodeSignedTag(signed))
  }

  async forgetTag(repository: string, tag: string): Promise<void> {
    this.#drop(tagKey(repository, tag))
    await this.#objects.delete(tagKey(repository, tag))
  }

  async read(key: string): Promise<Uint8Array | undefined> {
    const unkept = this.#unkept.get(key)
    if (unkept !== undefined) return unkept
    const object = await this.#objects.read(key)
    return object === undefined ? undefined : readWhole(key, object, RECORD_BYTES_MAX)
  }

  /** Keeps it on disk, or where that takes nothing, in memory for a while. */
  async write(key: string, bytes: Uint8Array): Promise<void> {
    try {
      await this.#objects.put(key, bytes)
      this.#drop(key)
    } catch (error) {
      if (!wasNotTaken(error)) throw error
      this.#drop(key)
      this.#unkept.set(key, Uint8Array.from(bytes))
      this.#unkeptBytes += bytes.length
      for (const oldest of this.#unkept.keys()) {
        if (this.#unkeptBytes <= UNKEPT_BYTES_MAX) break
        this.#drop(oldest)
      }
      this.#onUnkept(error)
    }
  }

  #drop(key: string): void {
    this.#unkeptBytes -= this.#unkept.get(key)?.length ?? 0
    this.#unkept.delete(key)
  }
}

export function hasDigest(bytes: Uint8Array, digest: Digest): boolean {
  return createHash(digestAlgorithm(digest)).update(bytes).digest('hex') === digestHex(digest)
}

/**
 * The digest covers the bytes only, so the media type is taken from them and not from what was kept beside them.
 * @returns undefined for what is no manifest
 */
function mediaTypeOf(bytes: Uint8Array): string | undefined {
  try {
    return readManifest(bytes).mediaType
  } catch (error) {
    if (error instanceof OciError) return undefined
    throw error
  }
}

function manifestKey(repository: string, digest: Digest): string {
  return `repos/${repository}/_manifests/${digestAlgorithm(digest)}/${digestHex(digest)}`
}

function tagKey(repository: string, tag: string): string {
  return `repos/${repository}/_tags/${tag}`
}

/** Full, closed to writing, or broken. */
function wasNotTaken(error: unknown): boolean {
  return [StorageFullError, StorageRefusedError, StorageUnavailableError].some(
    (kind) => error instanceof kind,
  )
}
