/** Writes and reads OCI image layouts: folders of content by digest. OCI image specification, "Image Layout". */
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeTar } from './reproducible-tar.ts'

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly platform?: Platform
  readonly annotations?: Readonly<Record<string, string>>
}

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

export const MEDIA_TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  gzippedLayer: 'application/vnd.oci.image.layer.v1.tar+gzip',
} as const
const REF_NAME = 'org.opencontainers.image.ref.name'

export class LayoutWriter {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
    mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
    writeFileSync(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  }

  addBytes(mediaType: string, bytes: Uint8Array): Descriptor {
    const digest = sha256(bytes)
    writeFileSync(blobPath(this.#folder, digest), bytes)
    return { mediaType, digest, size: bytes.length }
  }

  addDocument(mediaType: string, document: object): Descriptor {
    return this.addBytes(mediaType, Buffer.from(JSON.stringify(document)))
  }

  /** As it is in another layout. */
  copy(descriptor: Descriptor, from: string): Descriptor {
    readBlob(from, descriptor)
    copyFileSync(blobPath(from, descriptor.digest), blobPath(this.#folder, descriptor.digest))
    return descriptor
  }

  /** @param tag what `root` is called in the layout */
  pack(archive: string, root: Descriptor, tag: string): void {
    const named = { ...root, annotations: { ...root.annotations, [REF_NAME]: tag } }
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests: [named] }
    writeFileSync(join(this.#folder, 'index.json'), JSON.stringify(index))
    writeTar({ path: archive, folder: this.#folder, names: ['blobs', 'index.json', 'oci-layout'] })
  }
}

/** @throws Error when the bytes are not those of the digest */
export function readBlob(layout: string, { digest }: Descriptor): Buffer {
  const bytes = readFileSync(blobPath(layout, digest))
  if (sha256(bytes) !== digest) throw new Error(`${layout} has other bytes under ${digest}`)
  return bytes
}

/** @throws Error when the layout does not hold just one image */
export function rootOf(layout: string): Descriptor {
  const [root, ...others] = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')).manifests
  if (root === undefined || others.length > 0) throw new Error(`${layout} should hold one image`)
  return root
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

function blobPath(layout: string, digest: string): string {
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw new Error(`${digest} is not a SHA-256 digest`)
  return join(layout, 'blobs', digest.replace(':', '/'))
}
