/** Goal: containerd pulls from an agent, single images and multi-architecture indexes, and runs what it got. */
import { expect, it } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { startContainerd } from '../support/containerd.ts'
import { describeWith } from '../support/describe-with.ts'
import { buildImage, buildIndex } from '../support/images.ts'
import { randomLayers } from '../support/layers.ts'
import { pushImage, pushIndex } from '../support/push.ts'
import { runnableImage } from '../support/runnable-image.ts'

describeWith(['containerd', 'ldd'], 'containerd', () => {
  it('pulls an image by tag and runs it', async () => {
    await using cluster = await startCluster({ agents: 1 })
    await using containerd = await startContainerd()
    const name = `${cluster.agents[0]!.host}/team/echo:1`
    await pushImage(cluster.seeder.url, 'team/echo', '1', await runnableImage({ args: ['from containerd'] }))
    await containerd.ctr(['images', 'pull', '--plain-http', name])
    expect((await containerd.run(name)).stdout.trim()).toBe('from containerd')
  }, 120_000)

  it('pulls an index: this platform’s image, or all of them, with the index’s digest', async () => {
    await using cluster = await startCluster({ agents: 2 })
    await using containerd = await startContainerd()
    const here = await runnableImage({ args: ['this platform'] })
    const elsewhere = buildImage({
      architecture: here.platform.architecture === 'arm64' ? 'amd64' : 'arm64',
      layers: await randomLayers({ count: 2, contentBytes: 100_000, seed: 'elsewhere' }),
    })
    const index = buildIndex([elsewhere, here])
    await pushIndex(cluster.seeder.url, 'team/multi', '1', index)
    const [first, second] = cluster.agents.map(({ host }) => `${host}/team/multi:1`)

    await containerd.ctr(['images', 'pull', '--plain-http', first!])
    expect((await containerd.run(first!)).stdout.trim()).toBe('this platform')
    await containerd.ctr(['images', 'pull', '--plain-http', '--all-platforms', second!])
    const list = (await containerd.ctr(['images', 'list'])).stdout
    for (const name of [first!, second!]) {
      expect(list.split('\n').find((line) => line.startsWith(name))).toContain(index.manifest.digest)
    }
  }, 120_000)
})
