/** Blobs and manifests for the sections: pure, and never the same twice, since every section may share a store. */
import { createCipheriv, createHash } from 'node:crypto'

export type Algorithm = 'sha256' | 'sha512'

export interface Content {
  readonly digest: string
  readonly bytes: Buffer
}

export interface ManifestContent extends Content {
  readonly mediaType: string
}

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json'
export const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'
export const OCI_EMPTY = 'application/vnd.oci.empty.v1+json'
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'

/** 4 MiB: the longest manifest that must be taken. */
export const MANIFEST_BYTES_MAX = 4 * 1024 * 1024

export const ALGORITHMS: readonly Algorithm[] = ['sha256', 'sha512']

export function contentOf(bytes: Uint8Array | string, algorithm: Algorithm = 'sha256'): Content {
  const buffer = Buffer.from(bytes as Uint8Array)
  return { bytes: buffer, digest: `${algorithm}:${createHash(algorithm).update(buffer).digest('hex')}` }
}

let made = 0

/** Bytes that nothing compresses and that were not there before. */
export function freshContent(lengthBytes: number, algorithm: Algorithm = 'sha256'): Content {
  const key = createHash('sha256').update(`conformance ${made++}`).digest()
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16))
  return contentOf(cipher.update(new Uint8Array(lengthBytes)), algorithm)
}

/** A repository that nobody has used. */
export function freshRepository(): string {
  return `conformance/r${made++}`
}

/** A digest that no content here has. */
export function nobody(algorithm: Algorithm = 'sha256'): string {
  return freshContent(32, algorithm).digest
}

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

export function descriptorOf<T extends object>(
  mediaType: string,
  { digest, bytes }: Content,
  more?: T,
): Descriptor & T {
  return { mediaType, digest, size: bytes.length, ...more } as Descriptor & T
}

export function manifestOf(
  document: object,
  mediaType: string = OCI_MANIFEST,
  algorithm: Algorithm = 'sha256',
): ManifestContent {
  const bytes = JSON.stringify({ schemaVersion: 2, mediaType, ...document })
  return { ...contentOf(bytes, algorithm), mediaType }
}

export interface ImageContent {
  readonly manifest: ManifestContent
  /** What must be there before the manifest. */
  readonly blobs: readonly Content[]
}

/** A new image: a configuration and one layer. `fields` are set on the manifest. */
export function freshImage(
  fields: object = {},
  { mediaType = OCI_MANIFEST, algorithm = 'sha256' as Algorithm, layerBytes = 1_000 } = {},
): ImageContent {
  const layer = freshContent(layerBytes, algorithm)
  const config = contentOf(
    JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] }, made }),
    algorithm,
  )
  made++
  const isDocker = mediaType === DOCKER_MANIFEST
  const manifest = manifestOf(
    {
      config: descriptorOf(isDocker ? 'application/vnd.docker.container.image.v1+json' : OCI_CONFIG, config),
      layers: [
        descriptorOf(isDocker ? 'application/vnd.docker.image.rootfs.diff.tar.gzip' : OCI_LAYER, layer),
      ],
      ...fields,
    },
    mediaType,
    algorithm,
  )
  return { manifest, blobs: [config, layer] }
}

/** The same manifest with an annotation as long as it takes. */
export function padded({ bytes, mediaType }: ManifestContent, lengthBytes: number): ManifestContent {
  const document = { ...JSON.parse(bytes.toString()), annotations: { padding: '' } }
  const missing = lengthBytes - JSON.stringify(document).length
  document.annotations.padding = 'A'.repeat(missing)
  return { ...contentOf(JSON.stringify(document)), mediaType }
}

/** The two bytes `{}` that artifacts have for a configuration. */
export const EMPTY_JSON = contentOf('{}')

/** An artifact as the image specification has it: the empty configuration, and one layer of its own. */
export function freshArtifact(fields: object = {}, artifactType?: string): ImageContent {
  const payload = freshContent(100)
  const manifest = manifestOf({
    ...(artifactType === undefined ? {} : { artifactType }),
    config: descriptorOf(OCI_EMPTY, EMPTY_JSON),
    layers: [descriptorOf('application/octet-stream', payload)],
    ...fields,
  })
  return { manifest, blobs: [EMPTY_JSON, payload] }
}

export function indexOf(
  children: readonly ManifestContent[],
  fields: object = {},
  { mediaType = OCI_INDEX, algorithm = 'sha256' as Algorithm } = {},
): ManifestContent {
  const manifests = children.map((child, position) =>
    descriptorOf(child.mediaType, child, {
      platform: { os: 'linux', architecture: position === 0 ? 'amd64' : 'arm64' },
    }),
  )
  return manifestOf({ manifests, ...fields }, mediaType, algorithm)
}
