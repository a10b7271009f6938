/** What a manifest must be before a repository keeps it. OCI distribution specification, "Pushing manifests". */
import { type Digest, digestAlgorithm } from '@shoal/core'
import { OciError, type ParsedManifest, requiredBlobs } from '@shoal/oci'
import type { Manifest, Reference } from '../backend.ts'
import { readManifest } from '../manifest-text.ts'
import { contentDigest } from './content-digest.ts'

/** Blobs looked up at once. */
const LOOKUPS_MAX = 16
/** Missing blobs that one answer names. */
const MISSING_NAMED_MAX = 32

export interface CheckedManifest extends Manifest {
  readonly parsed: ParsedManifest
}

/**
 * @param mediaType of the Content-Type header; empty when there was none
 * @throws OciError DIGEST_INVALID · MANIFEST_INVALID · MANIFEST_BLOB_UNKNOWN
 */
export async function checkManifest(
  reference: Reference,
  mediaType: string,
  bytes: Uint8Array,
  hasBlob: (digest: Digest) => Promise<boolean>,
): Promise<CheckedManifest> {
  const algorithm = reference.kind === 'digest' ? digestAlgorithm(reference.digest) : 'sha256'
  const digest = contentDigest(algorithm, bytes)
  if (reference.kind === 'digest' && reference.digest !== digest) {
    throw new OciError('DIGEST_INVALID', 'provided digest did not match uploaded content', {
      detail: { digest: reference.digest, computed: digest },
    })
  }
  const manifest = readManifest(bytes, mediaType === '' ? undefined : mediaType)
  // The children of an index and a subject may come later or never (a sparse index, a referrer pushed first).
  await requireBlobs(
    requiredBlobs(manifest).map((descriptor) => descriptor.digest),
    hasBlob,
  )
  return { digest, length: bytes.length, mediaType: manifest.mediaType, bytes, parsed: manifest }
}

async function requireBlobs(
  digests: readonly Digest[],
  hasBlob: (digest: Digest) => Promise<boolean>,
): Promise<void> {
  const missing: Digest[] = []
  for (let first = 0; first < digests.length && missing.length < MISSING_NAMED_MAX; first += LOOKUPS_MAX) {
    const batch = digests.slice(first, first + LOOKUPS_MAX)
    const found = await Promise.all(batch.map(hasBlob))
    missing.push(...batch.filter((_, index) => found[index] === false))
  }
  const [error, ...others] = missing
    .slice(0, MISSING_NAMED_MAX)
    .map(
      (digest) => new OciError('MANIFEST_BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest } }),
    )
  if (error !== undefined) {
    throw new OciError('MANIFEST_BLOB_UNKNOWN', error.message, { detail: error.detail, others })
  }
}
