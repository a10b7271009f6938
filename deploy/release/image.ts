/**
 * The image for every processor, in one OCI archive: the production tree on top of a base, without a builder and without
 * running anything. What it is told to do is in deploy/Dockerfile.
 */
import { chmodSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { baseOf, configOf, type ImageConfig } from './dockerfile-config.ts'
import {
  type Descriptor,
  LayoutWriter,
  MEDIA_TYPES,
  type Platform,
  readBlob,
  rootOf,
  sha256,
} from './oci-layout.ts'
import { writeTar } from './reproducible-tar.ts'

/** Of the service, as in the Dockerfile. */
const USER = 65_532
/** Where the production tree is. */
export const TREE = 'opt/shoal'
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }
const STATE_FOLDERS = ['origin', 'seeder', 'cache']

export interface ImageInit {
  /** The archive that is written. */
  readonly path: string
  /** A folder for what lies between. */
  readonly staging: string
  /** An OCI layout with the base for every processor. */
  readonly base: string
  readonly dockerfile: string
  readonly version: string
  readonly revision: string
  readonly source: string
  /** ISO 8601, of the image and of its layers. */
  readonly created: string
  /** For each processor, as Node calls it, the folder with the production tree at `TREE` in it. */
  readonly folders: ReadonlyMap<string, string>
}

/** @returns the digest of the image's index */
export function writeImage(init: ImageInit): string {
  const { path, staging, base, version, folders } = init
  const layout = new LayoutWriter(join(staging, 'layout'))
  const root = rootOf(base)
  const pinned = /@(sha256:\S+)$/.exec(baseOf(init.dockerfile))?.[1]
  if (pinned !== undefined && pinned !== root.digest)
    throw new Error(`the base is ${root.digest}, and deploy/Dockerfile names ${pinned}`)
  const state = stateLayer(staging, layout)
  const manifests = [...folders].map(([cpu, folder]) => {
    const platform = { os: 'linux', architecture: ARCHITECTURES[cpu]! }
    const program = layerOf(layout, { folder, name: TREE, owner: 0 })
    return imageFor(init, layout, { root, platform, layers: [program, state] })
  })
  const index = layout.addDocument(MEDIA_TYPES.index, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.index,
    manifests,
    annotations: annotationsOf(init, root),
  })
  layout.pack(path, index, version)
  return index.digest
}

interface Layer {
  readonly descriptor: Descriptor
  readonly diffId: string
  readonly comment: string
}

function imageFor(
  init: ImageInit,
  layout: LayoutWriter,
  { root, platform, layers }: { root: Descriptor; platform: Platform; layers: readonly Layer[] },
): Descriptor {
  const { base, created } = init
  const manifest = JSON.parse(readBlob(base, baseFor(base, root, platform)).toString())
  const config: BaseConfig = JSON.parse(readBlob(base, manifest.config).toString())
  const args = { VERSION: init.version, REVISION: init.revision, SOURCE: init.source }
  const document = {
    ...config,
    created,
    config: configOf(init.dockerfile, config.config ?? {}, args),
    rootfs: { type: 'layers', diff_ids: [...config.rootfs.diff_ids, ...layers.map(({ diffId }) => diffId)] },
    history: [...(config.history ?? []), ...layers.map(({ comment }) => ({ created, created_by: comment }))],
  }
  const added = layout.addDocument(MEDIA_TYPES.manifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: layout.addDocument(MEDIA_TYPES.config, document),
    layers: [
      ...manifest.layers.map((layer: Descriptor) => layout.copy(asOci(layer), base)),
      ...layers.map(({ descriptor }) => descriptor),
    ],
    annotations: annotationsOf(init, root),
  })
  return { ...added, platform: { ...platform, ...(config.variant && { variant: config.variant }) } }
}

interface BaseConfig {
  readonly variant?: string
  readonly config?: ImageConfig
  readonly rootfs: { readonly diff_ids: readonly string[] }
  readonly history?: readonly object[]
}

/** A layer of Docker's media type is the same bytes under OCI's. */
function asOci({ mediaType, digest, size }: Descriptor): Descriptor {
  return {
    mediaType: mediaType.replace(
      'application/vnd.docker.image.rootfs.diff.tar.gzip',
      MEDIA_TYPES.gzippedLayer,
    ),
    digest,
    size,
  }
}

function baseFor(base: string, root: Descriptor, { os, architecture }: Platform): Descriptor {
  const { manifests } = JSON.parse(readBlob(base, root).toString()) as { manifests?: Descriptor[] }
  if (manifests === undefined) throw new Error(`${base} holds an image for one processor; copy all of them`)
  const found = manifests.find(
    ({ platform }) => platform?.os === os && platform.architecture === architecture,
  )
  if (found === undefined) throw new Error(`${base} has no base for ${os}/${architecture}`)
  return found
}

function annotationsOf(init: ImageInit, root: Descriptor): Record<string, string> {
  return {
    'org.opencontainers.image.version': init.version,
    ...(init.revision && { 'org.opencontainers.image.revision': init.revision }),
    ...(init.source && { 'org.opencontainers.image.source': init.source }),
    'org.opencontainers.image.base.name': baseOf(init.dockerfile).replace(/@.*$/, ''),
    'org.opencontainers.image.base.digest': root.digest,
  }
}

function stateLayer(staging: string, layout: LayoutWriter): Layer {
  const folder = join(staging, 'state')
  const own = join(folder, 'var/lib/shoal')
  for (const name of STATE_FOLDERS) {
    mkdirSync(join(own, name), { recursive: true })
    chmodSync(join(own, name), 0o700)
  }
  chmodSync(own, 0o755)
  return layerOf(layout, { folder, name: 'var/lib/shoal', owner: USER })
}

function layerOf(
  layout: LayoutWriter,
  { folder, name, owner }: { folder: string; name: string; owner: number },
): Layer {
  const path = join(folder, 'layer.tar')
  writeTar({ path, folder, names: [name], owner })
  const bytes = readFileSync(path)
  rmSync(path)
  const descriptor = layout.addBytes(MEDIA_TYPES.gzippedLayer, gzipSync(bytes))
  return { descriptor, diffId: sha256(bytes), comment: `COPY /${name}` }
}
