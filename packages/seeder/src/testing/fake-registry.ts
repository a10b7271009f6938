/** Another registry as its client sees it: what it has, what it was asked, and what goes wrong. Nothing of it takes time. */
import type { Digest } from '@shoal/core'
import type { Manifest } from '@shoal/oci'
import { type Descriptor, splitMirroredName } from '@shoal/oci'
import { type UpstreamClient, UpstreamRangeRefusedError } from '@shoal/registry-client'
import type { ByteRange } from '@shoal/storage'
import { sha256 } from '@shoal/testing/content'
import type { UpstreamRepository, Upstreams } from '../mirror/upstreams.ts'
import type { TestImage } from './images.ts'

export type Asked =
  | { readonly kind: 'head' | 'manifest'; readonly repository: string; readonly reference: string }
  | {
      readonly kind: 'blob'
      readonly repository: string
      readonly reference: Digest
      readonly range?: ByteRange
    }
  | { readonly kind: 'tags' | 'referrers'; readonly repository: string; readonly reference: string }

export const CHUNK_BYTES = 1_000

export class FakeRegistry {
  readonly asked: Asked[] = []
  readonly manifests = new Map<string, Manifest>()
  readonly blobs = new Map<string, Uint8Array>()
  readonly tags = new Map<string, readonly string[]>()
  readonly referrers = new Map<Digest, readonly Descriptor[]>()
  /** Comes before every answer: throws to make it fail, waits to make it slow. */
  fault: (asked: Asked) => void | Promise<void> = () => {}
  /** Otherwise blobs come as a whole, and what was not asked for of them is thrown away. */
  givesRanges = true
  /** What is sent of a blob. */
  body: (bytes: Uint8Array, asked: Asked & { kind: 'blob' }) => AsyncIterable<Uint8Array> = inChunks

  readonly host: string

  constructor(host: string) {
    this.host = host
  }

  readonly client = {
    manifest: async (repository: string, reference: string) => {
      await this.#ask({ kind: 'manifest', repository, reference })
      return this.manifests.get(`${repository}@${reference}`)
    },
    manifestDigest: async (repository: string, reference: string) => {
      await this.#ask({ kind: 'head', repository, reference })
      const manifest = this.manifests.get(`${repository}@${reference}`)
      return manifest && { digest: manifest.digest, length: manifest.length, mediaType: manifest.mediaType }
    },
    blob: async (
      repository: string,
      digest: Digest,
      {
        range,
        isRangeOnly = false,
        signal,
      }: { readonly range?: ByteRange; readonly isRangeOnly?: boolean; readonly signal: AbortSignal },
    ) => {
      const asked = { kind: 'blob', repository, reference: digest, ...(range && { range }) } as const
      await this.#ask(asked)
      signal.throwIfAborted()
      const bytes = this.blobs.get(`${repository}@${digest}`)
      if (bytes === undefined) return undefined
      if (isRangeOnly && !this.givesRanges) throw new UpstreamRangeRefusedError(this.host)
      const { start, end } = range ?? { start: 0, end: bytes.length }
      return {
        length: bytes.length,
        isWhole: range === undefined || !this.givesRanges,
        body: abortable(this.body(bytes.subarray(start, end), asked), signal),
      }
    },
    tags: async (repository: string) => {
      await this.#ask({ kind: 'tags', repository, reference: '' })
      const tags = this.tags.get(repository)
      return tags && { tags, more: false }
    },
    referrers: async (repository: string, digest: Digest) => {
      await this.#ask({ kind: 'referrers', repository, reference: digest })
      return this.referrers.get(digest) ?? []
    },
  } as unknown as UpstreamClient

  /** Has the manifest, by digest and tag, and its blobs if they are given. */
  push(repository: string, tag: string | undefined, image: TestImage | Manifest): void {
    const { manifest, blobs } = 'manifest' in image ? image : { manifest: image, blobs: [] }
    this.manifests.set(`${repository}@${manifest.digest}`, manifest)
    if (tag !== undefined) this.manifests.set(`${repository}@${tag}`, manifest)
    for (const bytes of blobs) this.blobs.set(`${repository}@${sha256(bytes)}`, bytes)
  }

  count(kind: Asked['kind'], reference?: string): number {
    return this.asked.filter((each) => each.kind === kind && (reference ?? each.reference) === each.reference)
      .length
  }

  repository(repository: string): UpstreamRepository {
    return { name: `${this.host}/${repository}`, host: this.host, repository, client: this.client }
  }

  async #ask(asked: Asked): Promise<void> {
    this.asked.push(asked)
    await this.fault(asked)
  }
}

/** The registries that may be mirrored. */
export function upstreamsOf(...registries: readonly FakeRegistry[]): Upstreams {
  const byHost = new Map(registries.map((registry) => [registry.host, registry]))
  return {
    hosts: [...byHost.keys()],
    client: (host: string) => byHost.get(host)?.client,
    find(name: string) {
      const split = splitMirroredName(name)
      const client = split && byHost.get(split.host)?.client
      return client && { name, ...split, client }
    },
  } as unknown as Upstreams
}

export async function* inChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += CHUNK_BYTES)
    yield bytes.subarray(offset, offset + CHUNK_BYTES)
}

/** As a connection does it: whoever waits for bytes is told when there will be none. */
async function* abortable(body: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const aborted = Promise.withResolvers<never>()
  aborted.promise.catch(() => {})
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  const chunks = body[Symbol.asyncIterator]()
  try {
    for (;;) {
      signal.throwIfAborted()
      const next = await Promise.race([chunks.next(), aborted.promise])
      if (next.done === true) return
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
