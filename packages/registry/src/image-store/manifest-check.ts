/** What a manifest must be before a repository keeps it. OCI distribution specification, "Pushing manifests". */
import { type Digest, digestAlgorithm } from '@shoal/core'
import { type Descriptor, OciError, type ParsedManifest, requiredDescriptors } from '@shoal/oci'
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
  blobLength: (digest: Digest) => Promise<number | undefined>,
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
  await requireBlobs(requiredDescriptors(manifest), blobLength)
  return { digest, length: bytes.length, mediaType: manifest.mediaType, bytes, parsed: manifest }
}

/** Each must be here, and as long as the manifest says: clients believe that, and give the pull up where it is wrong. */
async function requireBlobs(
  descriptors: readonly Descriptor[],
  blobLength: (digest: Digest) => Promise<number | undefined>,
): Promise<void> {
  const missing: Digest[] = []
  for (
    let first = 0;
    first < descriptors.length && missing.length < MISSING_NAMED_MAX;
    first += LOOKUPS_MAX
  ) {
    const batch = descriptors.slice(first, first + LOOKUPS_MAX)
    const lengths = await Promise.all(batch.map(({ digest }) => blobLength(digest)))
    for (const [index, { digest, size }] of batch.entries()) {
      const length = lengths[index]
      if (length === undefined) missing.push(digest)
      else if (length !== size) throw sizeWrong(digest, size, length)
    }
  }
  const [error, ...others] = [...new Set(missing)]
    .slice(0, MISSING_NAMED_MAX)
    .map(
      (digest) => new OciError('MANIFEST_BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest } }),
    )
  if (error !== undefined) {
    throw new OciError('MANIFEST_BLOB_UNKNOWN', error.message, { detail: error.detail, others })
  }
}

/** OCI image specification, "Descriptors": the size of the raw content. */
function sizeWrong(digest: Digest, size: number, length: number): OciError {
  return new OciError('MANIFEST_INVALID', `manifest invalid: ${digest} has ${length} bytes, not ${size}`, {
    detail: { digest, size, length },
  })
}
