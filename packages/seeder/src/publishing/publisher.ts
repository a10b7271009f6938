/**
 * Brings an image here before anybody asks for it: its manifests and blobs are copied from the registry where it is, what is
 * here already is not copied again, and its torrents are made on the way. Manifests come after what they name, the tag
 * comes last, so that nobody is given half an image.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest } from '@shoal/core'
import {
  childManifests,
  type Descriptor,
  listedBlobs,
  type Manifest,
  platformText,
  requiredBlobs,
} from '@shoal/oci'
import type { ImageStore } from '@shoal/registry'
import { UpstreamBusyError } from '@shoal/registry-client'
import { readManifest } from '@shoal/service'
import { PUBLISH_LINE_LAYERS_MAX, type PublishLine } from '@shoal/wire'
import type { Logger } from 'pino'
import type { AwaitedBlob } from '../mirror/awaited-blob.ts'
import type { BlobFetches } from '../mirror/blob-fetches.ts'
import type { UpstreamRepository, Upstreams } from '../mirror/upstreams.ts'
import { PublishError } from './errors.ts'
import type { NodeWarmer } from './node-warmer.ts'
import { type PublishPlan, planPublish } from './publish-plan.ts'
import { parseWarmSelector } from './warm-selector.ts'

export interface PublisherParts {
  readonly images: ImageStore
  readonly upstreams: Upstreams
  readonly fetches: BlobFetches
  readonly warmer: NodeWarmer
  readonly log: Logger
  readonly nowMs: () => number
}

export interface PublishWish {
  readonly reference: string
  readonly from?: string | undefined
  readonly platforms?: readonly string[] | undefined
  readonly warm?: string | undefined
  /** Whether what the source says later leaves the tag alone. */
  readonly isPinned: boolean
}

export interface Published {
  readonly name: string
  readonly digest: Digest
  readonly copiedBytes: number
  readonly presentBytes: number
}

export type OnProgress = (line: PublishLine) => void

/** An index of indexes of indexes: real ones have one level. */
const DEPTH_MAX = 4
/**
 * Manifests of one image, held until their blobs are here: what the other registry says is its choice. An index of forty
 * platforms with attestations has 80 of some KiB.
 */
const MANIFESTS_MAX = 2_000
const MANIFEST_BYTES_MAX = 64 * 1024 * 1024
const PROGRESS_MS = 250
/**
 * A registry that asks to be left alone for a moment (Retry-After) is waited for by whoever waits for the image. Longer waits
 * are failures: a person decides then, and what nobody waits for is postponed.
 */
const BUSY_WAIT_MS_MAX = 30_000
const BUSY_WAITS_MAX = 5

/** An image's manifests, what they name before them. */
interface Content {
  readonly manifests: readonly Manifest[]
  readonly blobs: ReadonlyMap<Digest, Descriptor>
  /** Those that an index lists and no image requires: like the manifests of an index they may be nowhere. */
  readonly optional: ReadonlySet<Digest>
}

export class Publisher {
  readonly #parts: PublisherParts
  readonly #ownHosts: readonly string[]

  constructor(parts: PublisherParts, init: { readonly ownHosts: readonly string[] }) {
    this.#parts = parts
    this.#ownHosts = init.ownHosts
  }

  /** @throws PublishError · WarmSelectorInvalidError · UpstreamError */
  async publish(wish: PublishWish, onProgress: OnProgress, signal: AbortSignal): Promise<Published> {
    const { images, log } = this.#parts
    const { reference, isPinned } = wish
    const plan = planPublish(reference, wish.from, this.#ownHosts)
    const selects = wish.warm === undefined ? undefined : parseWarmSelector(wish.warm)
    const source = this.#sourceOf(plan)
    const root = await this.#root(plan, source, signal)
    const { name, tag } = plan
    const content = await this.#content(name, source, root, wish.platforms, signal)
    for (const line of imageLines(reference, root.digest, content)) onProgress(line)
    // What is mirrored under its own name can be had while it comes: nodes begin at once.
    const image = { name, tag, digest: root.digest, manifests: content.manifests }
    if (selects !== undefined && this.#parts.upstreams.find(name) !== undefined)
      this.#parts.warmer.begin(image, selects)
    const { copiedBytes, presentBytes } = await this.#bring(
      reference,
      plan,
      source,
      content,
      onProgress,
      signal,
    )
    // What is here already is left alone: its tag may be moving at this moment.
    if (source !== undefined) {
      for (const manifest of content.manifests) await images.keepManifest(name, manifest)
      if (tag !== undefined) await images.putTag(name, tag, root.digest, { isPinned })
    }
    log.info({ event: 'image-published', name, tag, digest: root.digest, copiedBytes }, 'image published')
    if (selects !== undefined) {
      await this.#parts.warmer.warm(image, selects, signal, (nodes, ready) =>
        onProgress({ type: 'warm', reference, nodes, ready }),
      )
    }
    return { name, digest: root.digest, copiedBytes, presentBytes }
  }

  #sourceOf({ name, source }: PublishPlan): UpstreamRepository | undefined {
    if (source === undefined) return undefined
    const client = this.#parts.upstreams.client(source.host)
    if (client === undefined) {
      throw new PublishError(
        'PUBLISH_REGISTRY_UNKNOWN',
        `${source.host} is not among the seeder's upstreams (${this.#parts.upstreams.hosts.join(', ') || 'none'}); add it there`,
      )
    }
    return { name, ...source, client }
  }

  async #root(
    { name, tag, digest }: PublishPlan,
    source: UpstreamRepository | undefined,
    signal: AbortSignal,
  ): Promise<Manifest> {
    const { images } = this.#parts
    const reference = digest ?? tag!
    const found =
      source === undefined
        ? await images.manifest(
            name,
            digest === undefined ? { kind: 'tag', tag: tag! } : { kind: 'digest', digest },
          )
        : await this.#patiently(signal, () =>
            source.client.manifest(source.repository, reference, { signal }),
          )
    if (found !== undefined && found !== 'not-modified') return found
    const place = source === undefined ? 'this seeder' : source.host
    throw new PublishError(
      'PUBLISH_IMAGE_UNKNOWN',
      `${place} has no ${source?.repository ?? name}${digest === undefined ? ':' : '@'}${reference}; was it pushed?`,
    )
  }

  async #content(
    name: string,
    source: UpstreamRepository | undefined,
    root: Manifest,
    platforms: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<Content> {
    const manifests = new Map<Digest, Manifest>()
    const absent = new Set<Digest>()
    const blobs = new Map<Digest, Descriptor>()
    const required = new Set<Digest>()
    const chosen = new Set<string>()
    let manifestBytes = 0
    const add = async (manifest: Manifest, depth: number): Promise<void> => {
      if (depth > DEPTH_MAX)
        throw new PublishError('PUBLISH_TOO_DEEP', `${root.digest} has indexes within indexes within indexes`)
      manifests.set(manifest.digest, manifest)
      manifestBytes += manifest.length
      if (manifests.size > MANIFESTS_MAX || manifestBytes > MANIFEST_BYTES_MAX)
        throw new PublishError(
          'PUBLISH_TOO_LARGE',
          `${root.digest} has more manifests than an image may have`,
        )
      const parsed = readManifest(manifest.bytes, manifest.mediaType)
      for (const blob of requiredBlobs(parsed)) required.add(blob.digest)
      for (const blob of [...requiredBlobs(parsed), ...listedBlobs(parsed)]) blobs.set(blob.digest, blob)
      for (const child of childManifests(parsed)) {
        const platform = child.platform && platformText(child.platform)
        if (platforms !== undefined && platform !== undefined && !isWanted(platform, platforms)) continue
        if (absent.has(child.digest)) continue
        if (!manifests.has(child.digest)) {
          const found = await this.#manifest(name, source, child.digest, signal)
          // An index may name what nobody has pushed.
          if (found === undefined) {
            absent.add(child.digest)
            continue
          }
          await add(found, depth + 1)
        }
        if (platform !== undefined) chosen.add(platform)
      }
      // What an index names is kept before the index.
      manifests.delete(manifest.digest)
      manifests.set(manifest.digest, manifest)
    }
    await add(root, 1)
    const missing = platforms?.find((wanted) => ![...chosen].some((platform) => isWanted(platform, [wanted])))
    if (missing !== undefined && readManifest(root.bytes, root.mediaType).kind === 'index') {
      throw new PublishError(
        'PUBLISH_PLATFORM_UNKNOWN',
        `${root.digest} has nothing for ${missing}; it has ${[...chosen].join(', ') || 'no platforms'}`,
      )
    }
    const optional = new Set([...blobs.keys()].filter((digest) => !required.has(digest)))
    return { manifests: [...manifests.values()], blobs, optional }
  }

  async #manifest(
    name: string,
    source: UpstreamRepository | undefined,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<Manifest | undefined> {
    const here = await this.#parts.images.manifest(name, { kind: 'digest', digest })
    if (here !== undefined || source === undefined) return here
    const found = await this.#patiently(signal, () =>
      source.client.manifest(source.repository, digest, { signal }),
    )
    return found === 'not-modified' ? undefined : found
  }

  async #bring(
    reference: string,
    { name }: PublishPlan,
    source: UpstreamRepository | undefined,
    { blobs, optional }: Content,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<{ copiedBytes: number; presentBytes: number }> {
    const { images, fetches } = this.#parts
    let copiedBytes = 0
    let presentBytes = 0
    const bring = async ({ digest, size }: Descriptor) => {
      if ((await images.blobStat(name, digest, 'look')) !== undefined) {
        presentBytes += size
        onProgress({ type: 'layer', reference, digest, receivedBytes: size, state: 'present' })
        return
      }
      if (source === undefined && optional.has(digest)) return
      if (source === undefined)
        throw new PublishError('PUBLISH_BLOB_MISSING', `${digest} is not here; push the image again`)
      let receivedBytes = 0
      const isThere = await this.#patiently(signal, async () => {
        const awaited = fetches.begin(source, digest, size)
        const isEnded = await this.#watch(awaited, signal, () =>
          onProgress({
            type: 'layer',
            reference,
            digest,
            receivedBytes: awaited.receivedBytes,
            state: awaited.receivedBytes === 0 ? 'waiting' : 'copying',
          }),
        )
        receivedBytes = awaited.receivedBytes
        return isEnded
      })
      if (!isThere && optional.has(digest)) return
      if (!isThere)
        throw new PublishError('PUBLISH_BLOB_MISSING', `${source.host} names ${digest} and does not have it`)
      copiedBytes += receivedBytes
      presentBytes += size - Math.min(size, receivedBytes)
      onProgress({ type: 'layer', reference, digest, receivedBytes: size, state: 'done' })
    }
    const ends = await Promise.allSettled([...blobs.values()].map(bring))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
    return { copiedBytes, presentBytes }
  }

  async #watch(awaited: AwaitedBlob, signal: AbortSignal, tell: () => void): Promise<boolean> {
    tell()
    for (;;) {
      signal.throwIfAborted()
      const ended = await Promise.race([awaited.whole, sleep(PROGRESS_MS, undefined, { signal, ref: false })])
      if (ended !== undefined) return ended
      tell()
    }
  }

  /** Asks again when a registry that is busy may be asked again. @throws UpstreamBusyError when that is too far off */
  async #patiently<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
    for (let waits = 0; ; waits++) {
      try {
        return await ask()
      } catch (error) {
        if (!(error instanceof UpstreamBusyError) || waits === BUSY_WAITS_MAX) throw error
        const waitMs = Math.max(0, error.retryAtMs - this.#parts.nowMs())
        if (waitMs > BUSY_WAIT_MS_MAX) throw error
        await sleep(waitMs, undefined, { signal })
      }
    }
  }
}

/** One, or as many as it takes to name all layers. */
function imageLines(reference: string, digest: Digest, { blobs }: Content): readonly PublishLine[] {
  const layers = [...blobs.values()].map((blob) => ({ digest: blob.digest, bytes: blob.size }))
  const lineCount = Math.max(1, Math.ceil(layers.length / PUBLISH_LINE_LAYERS_MAX))
  return Array.from({ length: lineCount }, (_, line) => {
    const first = line * PUBLISH_LINE_LAYERS_MAX
    return { type: 'image', reference, digest, layers: layers.slice(first, first + PUBLISH_LINE_LAYERS_MAX) }
  })
}

/** `linux/arm64` also means its variants. */
function isWanted(platform: string, wanted: readonly string[]): boolean {
  return wanted.some((text) => platform === text || platform.startsWith(`${text}/`))
}
