/**
 * The images of `docker save`, and of the tools that write the same: a configuration and tars of layers. Their manifests
 * are made here. The configuration stays as it is, byte for byte, and with it the image id that `docker images` shows.
 * Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format".
 */
import { createHash } from 'node:crypto'
import { type Digest, digestAlgorithm, tryParseDigest } from '@shoal/core'
import { LAYERS_MAX, MEDIA_TYPES } from '@shoal/oci'
import { bytesSource, sha256Digest } from '../builder/blob-source.ts'
import { type ArchiveFile, type ArchiveFiles, collect, readDocument } from './archive-files.ts'
import type { ArchivedImage, ImageLocation } from './archived-image.ts'
import { ArchiveFormatError, ContentCorruptError, ContentMissingError } from './errors.ts'
import { type HashedLayer, hashLayer } from './layer-hash.ts'

export const SAVED_IMAGES_FILE = 'manifest.json'

interface SavedImage {
  readonly config: string
  readonly tags: readonly string[]
  readonly layers: readonly string[]
}

/** @throws ImageArchiveError */
export async function savedImages(
  files: ArchiveFiles,
  signal: AbortSignal,
): Promise<readonly ArchivedImage[]> {
  const images = parseSavedImages(files.path, (await readDocument(files, SAVED_IMAGES_FILE)).toString('utf8'))
  return images.map((image) => ({
    names: [...image.tags, ...(idOf(image) ?? [image.config])],
    isPart: false,
    locate: () => locate(files, image, signal),
  }))
}

async function locate(files: ArchiveFiles, image: SavedImage, signal: AbortSignal): Promise<ImageLocation> {
  const { path } = files
  const configBytes = await readConfig(files, image)
  const diffIds = diffIdsOf(path, image.config, configBytes)
  if (diffIds.length !== image.layers.length)
    throw new ArchiveFormatError(
      path,
      `${image.config} has ${diffIds.length} layers and ${SAVED_IMAGES_FILE} has ${image.layers.length}`,
    )
  const held = new Map<Digest, ArchiveFile>()
  const hashed = new Map<ArchiveFile, HashedLayer>()
  const layers: HashedLayer[] = []
  for (const [i, name] of image.layers.entries()) {
    const file = await files.find(name)
    if (file === undefined) throw new ContentMissingError(path, name)
    const algorithm = digestAlgorithm(diffIds[i]!)
    const known = hashed.get(file)
    const isUsable = known !== undefined && digestAlgorithm(known.diffId) === algorithm
    const layer = isUsable ? known : await hashLayer(path, name, file, algorithm, signal)
    if (layer.diffId !== diffIds[i])
      throw new ContentCorruptError(
        path,
        diffIds[i]!,
        `is named by the image, and ${name} is ${layer.diffId}`,
      )
    hashed.set(file, layer)
    held.set(layer.digest, file)
    layers.push(layer)
  }
  const config = bytesSource(MEDIA_TYPES.ociConfig, configBytes)
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: config.mediaType, digest: config.digest, size: config.sizeBytes },
    layers: layers.map(({ mediaType, digest, sizeBytes }) => ({ mediaType, digest, size: sizeBytes })),
  }
  const manifest = bytesSource(MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(document)))
  held.set(config.digest, config)
  held.set(manifest.digest, manifest)
  const root = { mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.sizeBytes }
  return { content: { path, find: async (digest) => held.get(digest) }, root, referrers: [] }
}

/** The image id, where the configuration's name tells it: `<hex>.json`, or `blobs/sha256/<hex>` since Docker 25. */
function idOf({ config }: SavedImage): [Digest] | undefined {
  const hex = /^(?:blobs\/sha256\/([0-9a-f]{64})|([0-9a-f]{64})\.json)$/.exec(config)
  const id = hex === null ? undefined : tryParseDigest(`sha256:${hex[1] ?? hex[2]}`)
  return id === undefined ? undefined : [id]
}

async function readConfig(files: ArchiveFiles, image: SavedImage): Promise<Buffer> {
  const file = await files.find(image.config)
  if (file === undefined) throw new ContentMissingError(files.path, image.config)
  const bytes = await collect(files.path, image.config, file)
  const digest = sha256Digest(createHash('sha256').update(bytes).digest('hex'))
  const [id] = idOf(image) ?? [digest]
  if (id !== digest) throw new ContentCorruptError(files.path, id, `has bytes of the digest ${digest}`)
  return bytes
}

function diffIdsOf(path: string, name: string, config: Buffer): readonly Digest[] {
  const diffIds: unknown = parseJson(path, name, config.toString('utf8'))?.rootfs?.diff_ids ?? []
  if (!Array.isArray(diffIds)) throw new ArchiveFormatError(path, `${name} names no layers`)
  return diffIds.map((diffId) => {
    const digest = typeof diffId === 'string' ? tryParseDigest(diffId) : undefined
    if (digest === undefined) throw new ArchiveFormatError(path, `${name} has a layer without a valid digest`)
    return digest
  })
}

function parseSavedImages(path: string, text: string): readonly SavedImage[] {
  const images = parseJson(path, SAVED_IMAGES_FILE, text)
  if (!Array.isArray(images))
    throw new ArchiveFormatError(path, `${SAVED_IMAGES_FILE} is not a list of images`)
  return images.map((image) => {
    const { Config: config, RepoTags: tags, Layers: layers } = image ?? {}
    if (typeof config !== 'string' || !areNames(tags ?? []) || !areNames(layers ?? []))
      throw new ArchiveFormatError(path, `${SAVED_IMAGES_FILE} has an image without Config or Layers`)
    if (layers?.length > LAYERS_MAX)
      throw new ArchiveFormatError(path, `an image has ${layers.length} layers, ${LAYERS_MAX} are allowed`)
    return { config, tags: tags ?? [], layers: layers ?? [] }
  })
}

function areNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string')
}

// biome-ignore lint/suspicious/noExplicitAny: a document of somebody else's; whoever asks checks what it finds
function parseJson(path: string, name: string, text: string): any {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ArchiveFormatError(path, `${name} is not JSON`, { cause: error })
  }
}
