/**
 * How a manifest that is attached to another (a signature, an SBOM) appears in the list of that other's referrers. Pure.
 * OCI distribution specification, "Listing Referrers".
 */
import type { Digest } from '@shoal/core'
import type { Annotations } from './descriptor.ts'
import type { ParsedManifest } from './manifest.ts'
import { MEDIA_TYPES } from './media-types.ts'

export interface Referrer {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes of the manifest. */
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Annotations
}

export function referrerOf(manifest: ParsedManifest, digest: Digest, size: number): Referrer {
  const configType = manifest.kind === 'image' ? manifest.config.mediaType : ''
  const artifactType = manifest.artifactType ?? (configType === '' ? undefined : configType)
  const hasAnnotations = Object.keys(manifest.annotations).length > 0
  return {
    mediaType: manifest.mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(hasAnnotations ? { annotations: manifest.annotations } : {}),
  }
}

/** The document of an answer: an image index of the referrers. */
export function referrersIndex(referrers: readonly Referrer[]): string {
  return JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: referrers })
}
