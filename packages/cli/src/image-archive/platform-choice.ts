/**
 * Reduces an image to the platforms that are wanted: one becomes a plain manifest, several an index of their own. What
 * is not wanted need not be in the archive.
 */
import type { Digest } from '@shoal/core'
import { chooseManifest, type Descriptor, type ImageIndex, manifestKindOf, type Platform } from '@shoal/oci'
import { bytesSource } from '../image-builder/blob-source.ts'
import { collect } from './archive-files.ts'
import type { ImageLocation } from './archived-image.ts'
import { type Content, findBlob, type Wanted } from './content.ts'
import { ArchiveLimitError, PlatformChoiceError } from './errors.ts'
import { INDEX_DEPTH_MAX } from './image-graph.ts'
import { annotationsOf, isManifest, type ManifestDocument, readManifest } from './manifest-document.ts'
import { platformText } from './platform-text.ts'

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
  const document = await readManifest(content, root)
  if (document.parsed.kind === 'image') {
    await expectPlatform(content, document, platforms)
    return location
  }
  const leaves = await leavesOf(content, document, 0)
  const chosen = new Set(platforms.map((platform) => choose(content.path, document.parsed, leaves, platform)))
  const [first] = chosen
  if (first !== undefined && chosen.size === 1) return { ...location, root: first }
  return withIndex(location, document, await present(content, leaves, chosen))
}

function choose(
  path: string,
  index: ManifestDocument['parsed'],
  leaves: readonly Leaf[],
  wanted: Platform,
): Descriptor {
  const manifests = leaves.map(({ descriptor }) => descriptor)
  const found = chooseManifest({ ...(index as ImageIndex), manifests }, wanted)
  if (found !== undefined) return found
  const known = manifests.flatMap(({ platform }) => (platform === undefined ? [] : [platformText(platform)]))
  throw new PlatformChoiceError(path, platformText(wanted), [...new Set(known)])
}

/** Images of indexes within indexes as well; an index that is not in the archive has none. */
async function leavesOf(
  content: Content,
  { parsed, text }: ManifestDocument,
  depth: number,
): Promise<Leaf[]> {
  if (depth >= INDEX_DEPTH_MAX)
    throw new ArchiveLimitError(content.path, `its indexes lie deeper than ${INDEX_DEPTH_MAX}`)
  const { manifests } = parsed as ImageIndex
  const raws = (JSON.parse(text) as { manifests: object[] }).manifests
  const annotations = annotationsOf(text)
  const leaves: Leaf[] = []
  for (const [i, descriptor] of manifests.entries()) {
    if (!isManifest(descriptor)) continue
    if (!isIndex(descriptor)) {
      leaves.push({ descriptor, raw: raws[i]!, attests: annotations[i]?.[ATTESTS_ANNOTATION] })
    } else if ((await content.find(descriptor.digest)) !== undefined) {
      leaves.push(...(await leavesOf(content, await readManifest(content, descriptor), depth + 1)))
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

/** An image that is no index says in its configuration what it runs on. */
async function expectPlatform(
  content: Content,
  { parsed }: ManifestDocument,
  platforms: readonly Platform[],
): Promise<void> {
  if (parsed.kind !== 'image') return
  const platform = await platformOfConfig(content, parsed.config)
  const descriptor: Descriptor = {
    ...parsed.config,
    ...(platform === undefined ? {} : { platform }),
  }
  const index: ImageIndex = { kind: 'index', mediaType: parsed.mediaType, manifests: [descriptor] }
  for (const wanted of platforms) {
    if (chooseManifest(index, wanted) === undefined)
      throw new PlatformChoiceError(
        content.path,
        platformText(wanted),
        platform === undefined ? [] : [platformText(platform)],
      )
  }
}

async function platformOfConfig(content: Content, config: Wanted): Promise<Platform | undefined> {
  const bytes = await collect(content.path, config.digest, await findBlob(content, config))
  try {
    const { os, architecture, variant } = JSON.parse(bytes.toString('utf8')) ?? {}
    if (typeof os !== 'string' || typeof architecture !== 'string') return undefined
    return { os, architecture, ...(typeof variant === 'string' && variant !== '' ? { variant } : {}) }
  } catch (error) {
    // An artifact's configuration need not be JSON; it has no platform then.
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function isIndex({ mediaType }: Wanted): boolean {
  return manifestKindOf(mediaType) === 'index'
}
