/**
 * Artifacts that are no images: attached to an image by `subject`, or as cosign does by a tag made of its digest.
 * Pure: bytes and digests, nothing is sent.
 * Sources: OCI image-spec 1.1, "Guidelines for Artifact Usage"; cosign's SIGNATURE_SPEC.md.
 */
import { type Manifest, mediaTypes } from './images.ts'
import { type Blob, memoryBlob } from './layers.ts'

export interface Artifact {
  readonly manifest: Manifest
  readonly blobs: readonly Blob[]
}

/** @param subject the manifest that it is attached to */
export function buildArtifact(init: {
  readonly artifactType: string
  readonly content: Uint8Array
  readonly subject: Manifest
}): Artifact {
  const { artifactType, subject } = init
  const [config, content] = [memoryBlob(Buffer.from('{}')), memoryBlob(init.content)]
  const manifest = manifestOf({
    artifactType,
    config: descriptor('application/vnd.oci.empty.v1+json', config),
    layers: [descriptor('application/octet-stream', content)],
    subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.bytes.length },
  })
  return { manifest, blobs: [config, content] }
}

/** What a signer attaches to an image under {@link signatureTag}. Nobody could verify it, and nobody here tries. */
export function buildSignature(signed: Manifest): Artifact {
  const claim = { critical: { image: { 'docker-manifest-digest': signed.digest } }, optional: null }
  const payload = memoryBlob(Buffer.from(JSON.stringify(claim)))
  const config = memoryBlob(
    Buffer.from(
      JSON.stringify({ architecture: '', os: '', rootfs: { type: 'layers', diff_ids: [payload.digest] } }),
    ),
  )
  const manifest = manifestOf({
    config: descriptor(mediaTypes.oci.config, config),
    layers: [
      {
        ...descriptor('application/vnd.dev.cosign.simplesigning.v1+json', payload),
        annotations: {
          'dev.cosignproject.cosign/signature': Buffer.from('not a real one').toString('base64'),
        },
      },
    ],
  })
  return { manifest, blobs: [config, payload] }
}

/** `sha256-<hex>.sig` */
export function signatureTag({ digest }: Manifest): string {
  return `${digest.replace(':', '-')}.sig`
}

function manifestOf(body: object): Manifest {
  const mediaType = mediaTypes.oci.manifest
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...body }))
  return { digest: memoryBlob(bytes).digest, mediaType, bytes }
}

function descriptor(mediaType: string, { digest, sizeBytes }: Blob): object {
  return { mediaType, digest, size: sizeBytes }
}
