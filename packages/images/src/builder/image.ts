/**
 * A configuration and a manifest around layers. Pure but for the hashing.
 * OCI image specification, "Image Configuration" and "Image Manifest".
 */
import { MEDIA_TYPES } from '@shoal/oci'
import { type BlobSource, bytesSource } from './blob-source.ts'

export interface Image {
  readonly manifest: BlobSource
  readonly config: BlobSource
  /** The lowest first. */
  readonly layers: readonly BlobSource[]
  /** Configuration and layers; what a node that has nothing must fetch, the manifest aside. */
  readonly contentBytes: number
}

export interface ImageInit {
  readonly layers: readonly BlobSource[]
  /** In OCI's words: `amd64`. */
  readonly architecture: string
  readonly entrypoint: readonly string[]
  /** `NAME=value` */
  readonly env: readonly string[]
  readonly user: string
}

/** @param init.layers uncompressed, so that each digest is a diff id as well */
export function buildImage({ layers, architecture, entrypoint, env, user }: ImageInit): Image {
  const config = jsonSource(MEDIA_TYPES.ociConfig, {
    created: '1970-01-01T00:00:00Z',
    architecture,
    os: 'linux',
    config: { Entrypoint: entrypoint, Env: env, User: user, WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    history: layers.map(() => ({ created: '1970-01-01T00:00:00Z', created_by: 'shoal' })),
  })
  const manifest = jsonSource(MEDIA_TYPES.ociManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: descriptorOf(config),
    layers: layers.map(descriptorOf),
  })
  const contentBytes = layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, config.sizeBytes)
  return { manifest, config, layers, contentBytes }
}

function descriptorOf({ mediaType, digest, sizeBytes }: BlobSource): object {
  return { mediaType, digest, size: sizeBytes }
}

function jsonSource(mediaType: string, document: object): BlobSource {
  return bytesSource(mediaType, Buffer.from(JSON.stringify(document)))
}
