/** Goal: the clients of containers/image push to the seeder and pull from an agent; digests survive the way. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { startPodman, startSkopeo } from '../support/containers-image.ts'
import { describeWith } from '../support/describe-with.ts'
import { buildImage, buildIndex, localArchitecture } from '../support/images.ts'
import { randomLayers } from '../support/layers.ts'
import { pullImage, pushImage, pushIndex } from '../support/push.ts'
import { runnableImage } from '../support/runnable-image.ts'

const layers = (seed: string) => randomLayers({ count: 3, contentBytes: 400_000, seed })

describeWith(['skopeo'], 'skopeo', () => {
  it('copies an image from an agent, and into the seeder', async () => {
    await using cluster = await startCluster({ agents: 2 })
    await using skopeo = await startSkopeo()
    const image = buildImage({ layers: await layers('skopeo') })
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    const [first, second] = cluster.agents
    const folder = join(skopeo.folder, 'copy')
    await skopeo.run([
      'copy',
      '--src-tls-verify=false',
      `docker://${first!.host}/team/app:1`,
      `dir:${folder}`,
    ])
    expect((await readFile(join(folder, 'manifest.json'))).equals(image.manifest.bytes)).toBe(true)

    await skopeo.run([
      'copy',
      '--dest-tls-verify=false',
      `dir:${folder}`,
      `docker://${cluster.seeder.host}/team/copied:1`,
    ])
    expect((await pullImage(second!.url, 'team/copied', '1')).digest).toBe(image.manifest.digest)
  }, 120_000)

  it('copies a whole multi-architecture index', async () => {
    await using cluster = await startCluster({ agents: 1 })
    await using skopeo = await startSkopeo()
    const images = [
      buildImage({ layers: await layers('here'), architecture: localArchitecture }),
      buildImage({ layers: await layers('s390x'), architecture: 's390x' }),
    ]
    const index = buildIndex(images)
    await pushIndex(cluster.seeder.url, 'team/multi', '1', index)
    const folder = join(skopeo.folder, 'all')
    await skopeo.run([
      'copy',
      '--all',
      '--src-tls-verify=false',
      `docker://${cluster.agents[0]!.host}/team/multi:1`,
      `dir:${folder}`,
    ])
    expect((await readFile(join(folder, 'manifest.json'))).equals(index.manifest.bytes)).toBe(true)
    for (const { blobs } of images) {
      for (const { digest, sizeBytes } of blobs) {
        expect((await readFile(join(folder, digest.replace('sha256:', '')))).length).toBe(sizeBytes)
      }
    }
  }, 120_000)
})

describeWith(['podman', 'ldd'], 'podman', () => {
  it('pulls an image from an agent', async () => {
    await using cluster = await startCluster({ agents: 1 })
    await using podman = await startPodman()
    const image = await runnableImage({ args: ['hello'] })
    await pushImage(cluster.seeder.url, 'team/echo', '1', image)
    const name = `${cluster.agents[0]!.host}/team/echo:1`
    await podman.run(['pull', '--tls-verify=false', name])
    const { stdout } = await podman.run(['image', 'inspect', '--format', '{{.Digest}}', name])
    expect(stdout.trim()).toBe(image.manifest.digest)
  }, 120_000)
})
