/**
 * Images and multi-arch indexes out of layers, in OCI's or Docker's dialect. Pure: bytes and digests, nothing is sent.
 * Sources: OCI image-spec (config.md, manifest.md, image-index.md), Docker's image manifest version 2, schema 2.
 */
import { type Blob, type Layer, memoryBlob } from './layers.ts'

export type Dialect = 'oci' | 'docker'

export interface Manifest {
  readonly digest: string
  readonly mediaType: string
  readonly bytes: Uint8Array
}

export interface Image {
  readonly manifest: Manifest
  readonly config: Blob
  readonly layers: readonly Layer[]
  readonly platform: { readonly architecture: string; readonly os: string; readonly variant?: string }
  /** Config and layers, each digest once. */
  readonly blobs: readonly Blob[]
  /** What a pull moves: the manifest and all blobs. */
  readonly sizeBytes: number
}

export interface Index {
  readonly manifest: Manifest
  readonly images: readonly Image[]
}

export interface ImageInit {
  readonly layers: readonly Layer[]
  /** This machine's unless told. */
  readonly architecture?: string
  readonly variant?: string
  readonly os?: string
  readonly cmd?: readonly string[]
  readonly entrypoint?: readonly string[]
  readonly env?: readonly string[]
  readonly workingDir?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly dialect?: Dialect
}

/** Go's name for this machine's architecture, as images use it. */
export const localArchitecture = process.arch === 'x64' ? 'amd64' : process.arch

export function buildImage(init: ImageInit): Image {
  const { layers, variant } = init
  const dialect = init.dialect ?? 'oci'
  const types = mediaTypes[dialect]
  const architecture = init.architecture ?? localArchitecture
  const platform = { architecture, os: init.os ?? 'linux', ...(variant !== undefined && { variant }) }
  const config = memoryBlob(
    json({
      ...platform,
      created: '1970-01-01T00:00:00Z',
      config: {
        Env: init.env ?? ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
        Cmd: init.cmd,
        Entrypoint: init.entrypoint,
        WorkingDir: init.workingDir,
        Labels: init.labels,
      },
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
      history: layers.map((_, i) => ({
        created: '1970-01-01T00:00:00Z',
        created_by: `shoal test layer ${i}`,
      })),
    }),
  )
  const manifest = manifestOf(types.manifest, {
    config: descriptor(types.config, config),
    layers: layers.map((layer) => descriptor(layerType(types.layer, layer), layer)),
  })
  const blobs = [...new Map([config, ...layers].map((blob) => [blob.digest, blob])).values()]
  const sizeBytes = blobs.reduce((sum, blob) => sum + blob.sizeBytes, manifest.bytes.length)
  return { manifest, config, layers, platform, blobs, sizeBytes }
}

export function buildIndex(images: readonly Image[], dialect: Dialect = 'oci'): Index {
  const manifests = images.map(({ manifest, platform }) => ({
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    size: manifest.bytes.length,
    platform,
  }))
  return { manifest: manifestOf(mediaTypes[dialect].index, { manifests }), images }
}

export const mediaTypes = {
  oci: {
    index: 'application/vnd.oci.image.index.v1+json',
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const satisfies Record<Dialect, Record<'index' | 'manifest' | 'config' | 'layer', string>>

/** `…tar+gzip` and `…tar+zstd`; Docker's dialect writes a dot. */
function layerType(gzipType: string, { compression }: Layer): string {
  return gzipType.replace(/gzip$/, compression ?? 'gzip')
}

function manifestOf(mediaType: string, body: object): Manifest {
  const bytes = json({ schemaVersion: 2, mediaType, ...body })
  return { digest: memoryBlob(bytes).digest, mediaType, bytes }
}

function descriptor(mediaType: string, { digest, sizeBytes }: Blob): object {
  return { mediaType, digest, size: sizeBytes }
}

function json(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value, undefined, 2))
}
