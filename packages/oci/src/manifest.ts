/**
 * Reads manifests and says what they name. Pure: the caller has decoded UTF-8 and keeps the raw bytes.
 * OCI image specification, "Image Manifest" and "Image Index"; Docker image manifest version 2, schema 2.
 *
 * One document must not be readable as two things (CVE-2021-41190): a document with both `layers` and `manifests`, or
 * whose mediaType contradicts the Content-Type that it came with, is refused.
 *
 * A field that is `null` counts as absent, an absent list as empty, and a descriptor may have no media type: Distribution
 * 2.8 and 3 take all of that, and builders rely on it (Go writes an empty list as `null`). A `null` inside a list is refused:
 * to Distribution it is a descriptor without a digest, which it refuses as well.
 */
import type { Digest } from '@shoal/core'
import {
  type Annotations,
  type Descriptor,
  invalid,
  isAbsent,
  isJsonObject,
  type JsonObject,
  parseAnnotations,
  parseDescriptor,
  parseText,
} from './descriptor.ts'
import {
  isForeignLayer,
  isManifestMediaType,
  isSchema1,
  type ManifestKind,
  MEDIA_TYPES,
  manifestKindOf,
} from './media-types.ts'

/** The specification asks registries to take manifests of 4 MiB, and lets them refuse longer ones. */
export const MANIFEST_BYTES_MAX = 4 * 1024 * 1024
/** Engines stop at 127 layers; artifacts have more. Each is looked up in the store when the manifest is pushed. */
export const LAYERS_MAX = 2_000
/** Nothing is looked up for these; the longest real indexes have some hundreds. */
export const INDEX_MANIFESTS_MAX = 10_000

interface ManifestCommon {
  readonly mediaType: string
  /** What this one is attached to; need not exist. */
  readonly subject?: Descriptor
  readonly artifactType?: string
  readonly annotations: Annotations
}

export interface ImageManifest extends ManifestCommon {
  readonly kind: 'image'
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

export interface ImageIndex extends ManifestCommon {
  readonly kind: 'index'
  readonly manifests: readonly Descriptor[]
}

export type ParsedManifest = ImageManifest | ImageIndex

/**
 * @param text the document
 * @param contentType the media type that it came with, without parameters; undefined when nothing was said
 * @throws OciError MANIFEST_INVALID
 */
export function parseManifest(text: string, contentType?: string): ParsedManifest {
  const document = parseJson(text)
  const isSilent = contentType === '' || contentType === 'application/json'
  const mediaType = settleMediaType(document, isSilent ? undefined : contentType)
  const kind = manifestKindOf(mediaType)
  if (kind === undefined)
    throw invalid('mediaType', `${JSON.stringify(mediaType.slice(0, 120))} is not supported`)
  refuseOtherKind(document, kind)
  const common = parseCommon(document, mediaType)
  if (kind === 'index') {
    return {
      ...common,
      kind,
      manifests: parseDescriptors(document.manifests, 'manifests', INDEX_MANIFESTS_MAX),
    }
  }
  return {
    ...common,
    kind,
    config: parseDescriptor(document.config, 'config'),
    layers: parseDescriptors(document.layers, 'layers', LAYERS_MAX),
  }
}

/**
 * The blobs that must exist for the manifest to be pulled: configuration and layers, each once, in that order. Foreign
 * layers and those with `urls` are elsewhere and not among them.
 */
export function requiredBlobs(manifest: ParsedManifest): readonly Descriptor[] {
  return unique(requiredDescriptors(manifest))
}

/** As `requiredBlobs`, with each time that one is named: it may be named with different sizes. */
export function requiredDescriptors(manifest: ParsedManifest): readonly Descriptor[] {
  if (manifest.kind === 'index') return []
  const layers = manifest.layers.filter(
    (layer) => layer.urls.length === 0 && !isForeignLayer(layer.mediaType),
  )
  return [manifest.config, ...layers]
}

/** The manifests that an index names, each once; they may be missing (a sparse index). */
export function childManifests(manifest: ParsedManifest): readonly Descriptor[] {
  if (manifest.kind === 'image') return []
  return unique(manifest.manifests.filter(({ mediaType }) => isManifestMediaType(mediaType)))
}

/**
 * The blobs that an index names among its `manifests`, each once; like those they may be missing. BuildKit's registry cache
 * (`image-manifest=false`) is such an index: layers, and a configuration that says what they are the result of.
 */
export function listedBlobs(manifest: ParsedManifest): readonly Descriptor[] {
  if (manifest.kind === 'image') return []
  return unique(manifest.manifests.filter(({ mediaType }) => !isManifestMediaType(mediaType)))
}

/** The blobs that come with a document when it is copied: those that an image requires, or that an index lists. */
export function blobsOf(manifest: ParsedManifest): readonly Descriptor[] {
  return manifest.kind === 'index' ? listedBlobs(manifest) : requiredBlobs(manifest)
}

/**
 * Everything that a document names by digest, whatever it is and whether or not it has to be here: configuration, layers
 * (foreign ones too, somebody may have pushed them), entries of an index, the subject. Nothing of it is garbage. A media type
 * tells how a thing is asked for, not how it was pushed: clients have pushed manifests as blobs.
 */
export function namedDescriptors(manifest: ParsedManifest): readonly Descriptor[] {
  const subject = manifest.subject === undefined ? [] : [manifest.subject]
  const listed = manifest.kind === 'index' ? manifest.manifests : [manifest.config, ...manifest.layers]
  return unique([...listed, ...subject])
}

function parseJson(text: string): JsonObject {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    throw invalid('the document', 'is not JSON')
  }
  if (!isJsonObject(document)) throw invalid('the document', 'is not a JSON object')
  return document
}

function settleMediaType(document: JsonObject, contentType: string | undefined): string {
  const declared = parseText(document.mediaType, 'mediaType')
  const said = [contentType, declared].find((mediaType) => mediaType !== undefined && isSchema1(mediaType))
  if (said !== undefined || document.schemaVersion === 1) {
    throw invalid('schemaVersion', '1 is not supported; push the image again with a current client')
  }
  if (document.schemaVersion !== 2) throw invalid('schemaVersion', 'is not 2')
  if (declared !== undefined && contentType !== undefined && declared !== contentType) {
    throw invalid(
      'mediaType',
      `${JSON.stringify(declared)} contradicts the Content-Type ${JSON.stringify(contentType)}`,
    )
  }
  if (declared === undefined && contentType?.startsWith('application/vnd.docker.') === true) {
    throw invalid('mediaType', 'is missing, and required in a Docker manifest')
  }
  const mediaType = declared ?? contentType
  if (mediaType !== undefined) return mediaType
  // Where nobody says the media type, the fields decide, on every node alike. `null` is an index's empty list.
  const isEmptyIndex = document.manifests === null && isAbsent(document.config)
  return isAbsent(document.manifests) && !isEmptyIndex ? MEDIA_TYPES.ociManifest : MEDIA_TYPES.ociIndex
}

function refuseOtherKind(document: JsonObject, kind: ManifestKind): void {
  // `blobs` and `fsLayers` are how other kinds of manifest name layers.
  const foreign =
    kind === 'index' ? ['layers', 'config', 'fsLayers', 'blobs'] : ['manifests', 'fsLayers', 'blobs']
  const found = foreign.find((key) => !isAbsent(document[key]))
  if (found !== undefined) throw invalid(found, `does not belong into an ${kind} manifest`)
}

function parseCommon(document: JsonObject, mediaType: string): ManifestCommon {
  const artifactType = parseText(document.artifactType, 'artifactType')
  const subject = isAbsent(document.subject) ? undefined : parseDescriptor(document.subject, 'subject')
  return {
    mediaType,
    ...(subject === undefined ? {} : { subject }),
    ...(artifactType === undefined ? {} : { artifactType }),
    annotations: parseAnnotations(document.annotations, 'annotations'),
  }
}

function parseDescriptors(value: unknown, where: string, countMax: number): readonly Descriptor[] {
  if (isAbsent(value)) return []
  if (!Array.isArray(value)) throw invalid(where, 'is not a list')
  if (value.length > countMax) throw invalid(where, `has ${value.length} entries, ${countMax} are allowed`)
  return value.map((item, index) => parseDescriptor(item, `${where}[${index}]`))
}

function unique(descriptors: readonly Descriptor[]): readonly Descriptor[] {
  const seen = new Set<Digest>()
  return descriptors.filter(({ digest }) => !seen.has(digest) && seen.add(digest))
}
