/**
 * Archives of images for tests, small and made of nothing: blobs by digest, an OCI layout in a folder, tars of any
 * files. What a test wants broken it breaks before it writes.
 */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MEDIA_TYPES } from '@shoal/oci'
import { type Header, pack } from 'tar-stream'

export interface FixtureDescriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly platform?: object
  readonly annotations?: Readonly<Record<string, string>>
}

/** The files of an archive by name. */
export type FixtureFiles = Map<string, Buffer>

/** Links, folders: entries without content. */
export type FixtureEntry = Partial<Header> & { readonly name: string }

export class LayoutFixture {
  readonly blobs = new Map<string, Buffer>()
  readonly index: FixtureDescriptor[] = []
  readonly #algorithm: string

  constructor(algorithm = 'sha256') {
    this.#algorithm = algorithm
  }

  add(mediaType: string, bytes: Buffer | object): FixtureDescriptor {
    const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(JSON.stringify(bytes))
    const digest = digestOf(buffer, this.#algorithm)
    this.blobs.set(digest, buffer)
    return { mediaType, digest, size: buffer.length }
  }

  /** @param layers contents; they need not be tars */
  image(
    layers: readonly (Buffer | string)[],
    init: { architecture?: string; subject?: FixtureDescriptor } = {},
  ) {
    const { architecture = 'amd64', subject } = init
    const bytes = layers.map((layer) => Buffer.from(layer))
    const config = this.add(MEDIA_TYPES.ociConfig, {
      os: 'linux',
      architecture,
      rootfs: { type: 'layers', diff_ids: bytes.map((layer) => digestOf(layer)) },
    })
    const manifest = this.add(MEDIA_TYPES.ociManifest, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config,
      layers: bytes.map((layer) => this.add(MEDIA_TYPES.ociLayer, layer)),
      ...(subject === undefined ? {} : { subject: bare(subject) }),
    })
    return { ...manifest, platform: { os: 'linux', architecture } }
  }

  nest(manifests: readonly FixtureDescriptor[], rest: object = {}): FixtureDescriptor {
    const mediaType = MEDIA_TYPES.ociIndex
    return this.add(mediaType, { schemaVersion: 2, mediaType, manifests, ...rest })
  }

  /** Lists it in index.json. */
  list(descriptor: FixtureDescriptor, name?: string, annotation = 'org.opencontainers.image.ref.name'): void {
    this.index.push(name === undefined ? descriptor : { ...descriptor, annotations: { [annotation]: name } })
  }

  /** As `skopeo copy --all … dir:` writes the image. */
  directoryFiles(root: FixtureDescriptor): FixtureFiles {
    const files: FixtureFiles = new Map([['version', Buffer.from('Directory Transport Version: 1.1\n')]])
    const isManifest = (bytes: Buffer) => bytes.includes('"schemaVersion"')
    for (const [digest, bytes] of this.blobs) {
      const name = digest.slice(digest.indexOf(':') + 1)
      if (digest === root.digest) files.set('manifest.json', bytes)
      else files.set(isManifest(bytes) ? `${name}.manifest.json` : name, bytes)
    }
    return files
  }

  files(): FixtureFiles {
    const files: FixtureFiles = new Map()
    files.set('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'))
    files.set('index.json', Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: this.index })))
    for (const [digest, bytes] of this.blobs) files.set(blobPath(digest), bytes)
    return files
  }
}

export function blobPath(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`
}

export function digestOf(bytes: Buffer, algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

export function hexOf(bytes: Buffer): string {
  return digestOf(bytes).slice('sha256:'.length)
}

export async function writeFolder(folder: string, files: FixtureFiles): Promise<string> {
  for (const [name, bytes] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), bytes)
  }
  return folder
}

/** @param others entries that are no plain files, before the files */
export async function tarOf(files: FixtureFiles, others: readonly FixtureEntry[] = []): Promise<Buffer> {
  const tar = pack()
  for (const header of others) tar.entry(header)
  for (const [name, bytes] of files) tar.entry({ name }, bytes)
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function bare({ mediaType, digest, size }: FixtureDescriptor): object {
  return { mediaType, digest, size }
}
