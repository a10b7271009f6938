/** What a manifest must be before a repository keeps it. OCI distribution specification, "Pushing manifests". */
import { type Digest, digestAlgorithm } from '@shoal/core'
import type { Manifest } from '@shoal/oci'
import { type Descriptor, listedBlobs, OciError, type ParsedManifest, requiredDescriptors } from '@shoal/oci'
import { readManifest } from '@shoal/service'
import type { Reference } from '../backend.ts'
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
  // What an index names and a subject may come later or never (a sparse index, a referrer pushed first).
  const missing = await missingBlobs(requiredDescriptors(manifest), blobLength, MISSING_NAMED_MAX)
  if (missing.length > 0) throw blobsUnknown(missing)
  // A blob that an index names is not garbage from now on either, and its size must be right if it is here.
  await missingBlobs(listedBlobs(manifest), blobLength, Number.POSITIVE_INFINITY)
  return { digest, length: bytes.length, mediaType: manifest.mediaType, bytes, parsed: manifest }
}

/**
 * Each that is here must be as long as the manifest says: clients believe that, and give the pull up where it is wrong.
 * @param missingMax no more are looked for when so many are missing
 * @returns those that are not here
 */
async function missingBlobs(
  descriptors: readonly Descriptor[],
  blobLength: (digest: Digest) => Promise<number | undefined>,
  missingMax: number,
): Promise<readonly Digest[]> {
  const missing: Digest[] = []
  for (let first = 0; first < descriptors.length && missing.length < missingMax; first += LOOKUPS_MAX) {
    const batch = descriptors.slice(first, first + LOOKUPS_MAX)
    const lengths = await Promise.all(batch.map(({ digest }) => blobLength(digest)))
    for (const [index, { digest, size }] of batch.entries()) {
      const length = lengths[index]
      if (length === undefined) missing.push(digest)
      else if (length !== size) throw sizeWrong(digest, size, length)
    }
  }
  return missing
}

function blobsUnknown(missing: readonly Digest[]): OciError {
  const [error, ...others] = [...new Set(missing)]
    .slice(0, MISSING_NAMED_MAX)
    .map(
      (digest) => new OciError('MANIFEST_BLOB_UNKNOWN', 'blob unknown to registry', { detail: { digest } }),
    )
  return new OciError('MANIFEST_BLOB_UNKNOWN', error!.message, { detail: error!.detail, others })
}

/** OCI image specification, "Descriptors": the size of the raw content. */
function sizeWrong(digest: Digest, size: number, length: number): OciError {
  return new OciError('MANIFEST_INVALID', `manifest invalid: ${digest} has ${length} bytes, not ${size}`, {
    detail: { digest, size, length },
  })
}
