/**
 * Goal: images that are legal and unusual arrive through an agent to the byte: for several platforms, with many layers, with
 * zstd, with an empty layer and the same layer twice.
 * Method: skopeo copies them from layouts to the seeder and from an agent to folders, whose files are hashed.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, it } from 'vitest'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { type ContainersTool, startSkopeo } from '../support/containers-image.ts'
import { describeWith } from '../support/describe-with.ts'
import { expectDirImage, writeLayout } from '../support/image-folders.ts'
import { buildImage, buildIndex, type Dialect, type Image, mediaTypes } from '../support/images.ts'
import { emptyLayer, fileLayer, randomLayers, zstdLayer } from '../support/layers.ts'
import { pushImage } from '../support/push.ts'

describeWith(['skopeo'], 'through skopeo', () => {
  let cluster: Cluster
  let skopeo: ContainersTool

  beforeAll(async () => {
    cluster = await startCluster({ agents: 2 })
    skopeo = await startSkopeo()
  })
  afterAll(async () => {
    await skopeo?.stop()
    await cluster?.stop()
  })

  const path = (name: string) => join(skopeo.folder, name)

  /** From a layout to the seeder. */
  const push = (layout: string, name: string, ...flags: string[]) =>
    skopeo.run([
      'copy',
      '--preserve-digests',
      '--dest-tls-verify=false',
      ...flags,
      `oci:${path(layout)}:1`,
      `docker://${cluster.seeder.host}/${name}:1`,
    ])

  /** From an agent to a folder. */
  async function pull(name: string, folder: string, init: { agent?: number; global?: string[] } = {}) {
    const source = `docker://${cluster.agents[init.agent ?? 0]!.host}/${name}:1`
    await skopeo.run([
      ...(init.global ?? []),
      'copy',
      '--src-tls-verify=false',
      source,
      `dir:${path(folder)}`,
    ])
    return path(folder)
  }

  async function travels(name: string, image: Image): Promise<void> {
    if (image.manifest.mediaType === mediaTypes.oci.manifest) {
      await writeLayout(path(name), { tags: { 1: image.manifest }, blobs: image.blobs })
      await push(name, `team/${name}`)
    } else {
      // A layout has no room for Docker's dialect.
      await pushImage(cluster.seeder.url, `team/${name}`, '1', image)
    }
    // The second agent finds the first beside the seeder.
    for (const agent of [0, 1])
      await expectDirImage(await pull(`team/${name}`, `${name}-${agent}`, { agent }), image)
  }

  it('an index gives each platform its own image', async () => {
    // One layer is the same for both.
    const [common, ...own] = await randomLayers({ count: 3, contentBytes: 300_000, seed: 'platforms' })
    const images = ['amd64', 'arm64'].map((architecture, i) =>
      buildImage({ architecture, layers: [common!, own[i]!] }),
    )
    const index = buildIndex(images)
    await writeLayout(path('index'), {
      tags: { 1: index.manifest },
      manifests: images.map(({ manifest }) => manifest),
      blobs: images.flatMap(({ blobs }) => blobs),
    })
    await push('index', 'team/index', '--all')
    for (const image of images) {
      const { architecture } = image.platform
      const global = [`--override-arch=${architecture}`]
      await expectDirImage(await pull('team/index', `index-${architecture}`, { global }), image)
    }
  })

  it('an image of 30 layers', async () => {
    const layers = await randomLayers({ count: 30, contentBytes: 150_000, seed: 'many' })
    await travels('many', buildImage({ layers }))
  })

  it('layers compressed with zstd, beside one with gzip', async () => {
    const files = (name: string) => [{ path: `data/${name}`, content: randomBytes(400_000) }]
    const layers = [
      await zstdLayer(files('one')),
      await fileLayer(files('two')),
      await zstdLayer(files('three')),
    ]
    await travels('zstd', buildImage({ layers }))
  })

  it.each<Dialect>(['oci', 'docker'])('an empty layer, and the same layer twice: %s', async (dialect) => {
    const [first, second] = await randomLayers({ count: 2, contentBytes: 200_000, seed: dialect })
    const layers = [first!, emptyLayer(), second!, first!, emptyLayer()]
    await travels(`doubles-${dialect}`, buildImage({ layers, dialect }))
  })

  it('an image without any layer', async () => {
    await travels('bare', buildImage({ layers: [], labels: { only: 'a configuration' } }))
  })
})
