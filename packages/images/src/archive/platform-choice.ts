/**
 * Reduces an image to the platforms that are wanted: one becomes a plain manifest, several an index of their own. What
 * is not wanted need not be in the archive.
 */
import type { Digest } from '@shoal/core'
import {
  chooseManifest,
  type Descriptor,
  type ImageIndex,
  manifestKindOf,
  type Platform,
  platformText,
} from '@shoal/oci'
import { bytesSource } from '../builder/blob-source.ts'
import { collect, DOCUMENT_BYTES_MAX } from './archive-files.ts'
import type { ImageLocation } from './archived-image.ts'
import { type Content, findBlob, type Wanted } from './content.ts'
import { ArchiveLimitError, PlatformChoiceError } from './errors.ts'
import { GRAPH_CONTENTS_MAX, INDEX_DEPTH_MAX } from './image-graph.ts'
import {
  annotationsOf,
  isManifest,
  type ManifestDocument,
  readManifestDocument,
} from './manifest-document.ts'

/** BuildKit lists its attestations beside the images, with the digest of what they are about. */
const ATTESTS_ANNOTATION = 'vnd.docker.reference.digest'

interface Leaf {
  readonly descriptor: Descriptor
  /** As it stands in its index, annotations and all. */
  readonly raw: object
  readonly attests: string | undefined
}

/** @throws PlatformChoiceError when one of them is not there */
export async function onlyPlatforms(
  location: ImageLocation,
  platforms: readonly Platform[],
): Promise<ImageLocation> {
  const { content, root } = location
  const document = await readManifestDocument(content, root)
  if (document.parsed.kind === 'image') {
    await expectPlatform(content, root, platforms)
    return location
  }
  const leaves = await leavesOf(content, document)
  const chosen = new Set(platforms.map((platform) => choose(content.path, leaves, platform)))
  const [first] = chosen
  if (first !== undefined && chosen.size === 1) return { ...location, root: first }
  return withIndex(location, document, await present(content, leaves, chosen))
}

function choose(path: string, leaves: readonly Leaf[], wanted: Platform): Descriptor {
  const manifests = leaves.map(({ descriptor }) => descriptor)
  const found = chooseManifest({ manifests }, wanted)
  if (found !== undefined) return found
  const known = manifests.flatMap(({ platform }) => (platform === undefined ? [] : [platformText(platform)]))
  throw new PlatformChoiceError(path, platformText(wanted), [...new Set(known)])
}

/**
 * Images of indexes within indexes as well; an index that is not in the archive has none.
 * @param seen indexes that were looked at: one that names another a thousand times costs no more than once
 */
async function leavesOf(
  content: Content,
  { parsed, text }: ManifestDocument,
  depth = 0,
  seen = new Set<Digest>(),
): Promise<Leaf[]> {
  if (depth >= INDEX_DEPTH_MAX)
    throw new ArchiveLimitError(content.path, `its indexes lie deeper than ${INDEX_DEPTH_MAX}`)
  const { manifests } = parsed as ImageIndex
  const raws = (JSON.parse(text) as { manifests?: object[] | null }).manifests ?? []
  const annotations = annotationsOf(text)
  const leaves: Leaf[] = []
  for (const [i, descriptor] of manifests.entries()) {
    if (!isManifest(descriptor)) continue
    if (!isIndex(descriptor)) {
      const attests = annotations[i]?.[ATTESTS_ANNOTATION]
      leaves.push({ descriptor: await withPlatform(content, descriptor), raw: raws[i]!, attests })
    } else if (!seen.has(descriptor.digest) && (await content.find(descriptor.digest)) !== undefined) {
      seen.add(descriptor.digest)
      const inner = await leavesOf(content, await readManifestDocument(content, descriptor), depth + 1, seen)
      if (leaves.length + inner.length > GRAPH_CONTENTS_MAX)
        throw new ArchiveLimitError(content.path, `an index of it has more than ${GRAPH_CONTENTS_MAX} images`)
      for (const leaf of inner) leaves.push(leaf)
    }
  }
  return leaves
}

/** The chosen ones, and the attestations about them that are there. */
async function present(
  content: Content,
  leaves: readonly Leaf[],
  chosen: ReadonlySet<Descriptor>,
): Promise<Leaf[]> {
  const digests = new Set<string>([...chosen].map(({ digest }) => digest))
  const kept = new Map<Digest, Leaf>()
  for (const leaf of leaves) {
    const { descriptor, attests } = leaf
    const isWanted =
      chosen.has(descriptor) ||
      (attests !== undefined && digests.has(attests) && (await content.find(descriptor.digest)) !== undefined)
    if (isWanted && !kept.has(descriptor.digest)) kept.set(descriptor.digest, leaf)
  }
  return [...kept.values()]
}

function withIndex(
  location: ImageLocation,
  { text }: ManifestDocument,
  leaves: readonly Leaf[],
): ImageLocation {
  const { content, root } = location
  const document = { ...JSON.parse(text), manifests: leaves.map(({ raw }) => raw) }
  const index = bytesSource(root.mediaType, Buffer.from(JSON.stringify(document)))
  return {
    ...location,
    root: { mediaType: index.mediaType, digest: index.digest, size: index.sizeBytes },
    content: {
      path: content.path,
      find: async (digest) => (digest === index.digest ? index : content.find(digest)),
    },
  }
}

/** An image that is no index says itself what it runs on. */
async function expectPlatform(content: Content, root: Wanted, platforms: readonly Platform[]): Promise<void> {
  const descriptor = await withPlatform(content, { ...root, urls: [] })
  const leaf: Leaf = { descriptor, raw: {}, attests: undefined }
  for (const platform of platforms) choose(content.path, [leaf], platform)
}

/** Where its index is silent about an image, the image's configuration is asked. */
async function withPlatform(content: Content, descriptor: Descriptor): Promise<Descriptor> {
  if (descriptor.platform !== undefined || (await content.find(descriptor.digest)) === undefined)
    return descriptor
  const { parsed } = await readManifestDocument(content, descriptor)
  // What has a subject is attached to an image and runs on nothing.
  if (parsed.kind !== 'image' || parsed.subject !== undefined) return descriptor
  const platform = await platformOfConfig(content, parsed.config)
  return platform === undefined ? descriptor : { ...descriptor, platform }
}

async function platformOfConfig(content: Content, config: Wanted): Promise<Platform | undefined> {
  // An artifact's configuration may be anything; it has no platform then.
  if (config.size > DOCUMENT_BYTES_MAX) return undefined
  const bytes = await collect(content.path, config.digest, await findBlob(content, config))
  try {
    const { os, architecture, variant } = JSON.parse(bytes.toString('utf8')) ?? {}
    if (typeof os !== 'string' || typeof architecture !== 'string') return undefined
    return { os, architecture, ...(typeof variant === 'string' && variant !== '' ? { variant } : {}) }
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function isIndex({ mediaType }: Wanted): boolean {
  return manifestKindOf(mediaType) === 'index'
}
