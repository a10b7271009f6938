/**
 * The media types of images, and what they say about a document. Pure.
 * OCI image specification, "Media Types"; Docker's are those of image manifest version 2, schema 2.
 */

export const MEDIA_TYPES = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerForeignLayerGzip: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  blob: 'application/octet-stream',
} as const

/** What a client that understands everything sends as `Accept` when it asks for a manifest. */
export const MANIFEST_MEDIA_TYPES: readonly string[] = [
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.dockerManifest,
  MEDIA_TYPES.dockerManifestList,
]

export type ManifestKind = 'image' | 'index'

/** @returns undefined when `mediaType` is no manifest that Shoal stores */
export function manifestKindOf(mediaType: string): ManifestKind | undefined {
  switch (mediaType) {
    case MEDIA_TYPES.ociManifest:
    case MEDIA_TYPES.dockerManifest:
      return 'image'
    case MEDIA_TYPES.ociIndex:
    case MEDIA_TYPES.dockerManifestList:
      return 'index'
    default:
      return undefined
  }
}

/**
 * Whether a descriptor of this media type is asked for as a manifest: every other type is that of a blob, also among the
 * `manifests` of an index. An index that says nothing about an entry means an image.
 */
export function isManifestMediaType(mediaType: string): boolean {
  return (
    mediaType === '' ||
    mediaType === OCI_ARTIFACT_MANIFEST ||
    isSchema1(mediaType) ||
    manifestKindOf(mediaType) !== undefined
  )
}

/** Of release candidates of the image specification 1.1; never stored here, and no blob either. */
const OCI_ARTIFACT_MANIFEST = 'application/vnd.oci.artifact.manifest.v1+json'

/** Docker's first manifests, signed and unsigned: no digests of configurations, not supported by anything current. */
export function isSchema1(mediaType: string): boolean {
  return /^application\/vnd\.docker\.distribution\.manifest\.v1\+(?:json|prettyjws)$/.test(mediaType)
}

/** Layers that their publisher forbids to redistribute: a registry need not have them. */
export function isForeignLayer(mediaType: string): boolean {
  return (
    mediaType.startsWith('application/vnd.docker.image.rootfs.foreign.') ||
    mediaType.startsWith('application/vnd.oci.image.layer.nondistributable.')
  )
}

/** The media type of a `Content-Type` header: no parameters, lower case; undefined when it says nothing. */
export function mediaTypeOfHeader(header: string | undefined): string | undefined {
  const mediaType = (header ?? '').split(';', 1)[0]!.trim().toLowerCase()
  return mediaType === '' ? undefined : mediaType
}
