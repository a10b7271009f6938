/** Images for tests: bytes, what they are called, and the manifests that name them. */
import type { Manifest } from '@shoal/oci'
import { MEDIA_TYPES, type Platform } from '@shoal/oci'
import { sha256 } from '@shoal/testing/content'

export interface TestImage {
  readonly manifest: Manifest
  /** The configuration, then the layers. */
  readonly blobs: readonly Uint8Array[]
}

export const bytesOf = (text: string): Uint8Array => Buffer.from(text)

/** An image whose configuration and layers are those texts. */
export function imageOf(...blobs: readonly (string | Uint8Array)[]): TestImage {
  const contents = blobs.map((blob) => Buffer.from(blob))
  const [config, ...layers] = contents.map((bytes) => ({ digest: sha256(bytes), size: bytes.length }))
  const manifest = manifestOf(MEDIA_TYPES.ociManifest, {
    config: { mediaType: MEDIA_TYPES.ociConfig, ...config },
    layers: layers.map((layer) => ({ mediaType: MEDIA_TYPES.ociLayer, ...layer })),
  })
  return { manifest, blobs: contents }
}

export interface IndexEntry {
  readonly manifest: Manifest
  readonly platform?: Platform
}

export function indexOf(...entries: readonly IndexEntry[]): Manifest {
  return manifestOf(MEDIA_TYPES.ociIndex, {
    manifests: entries.map(({ manifest: { mediaType, digest, length }, platform }) => ({
      mediaType,
      digest,
      size: length,
      ...(platform !== undefined && { platform }),
    })),
  })
}

export function manifestOf(mediaType: string, rest: object): Manifest {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...rest }))
  return { digest: sha256(bytes), length: bytes.length, mediaType, bytes }
}
