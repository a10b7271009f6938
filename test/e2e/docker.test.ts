/** Goal: a real Docker Engine pushes to the seeder, pulls from an agent on localhost, and runs what it got. */
import { expect, it } from 'vitest'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { describeWith } from '../support/describe-with.ts'
import { startDockerd } from '../support/dockerd.ts'
import { buildImage } from '../support/images.ts'
import { emptyLayer, randomLayers } from '../support/layers.ts'
import { pushImage } from '../support/push.ts'
import { programLayers, runnableImage } from '../support/runnable-image.ts'

describeWith(['dockerd', 'ldd'], 'Docker Engine', () => {
  it('pushes to the seeder, pulls from an agent and runs; digests are equal on both sides', async () => {
    await using cluster = await startCluster({ agents: 2 })
    await using engine = await startDockerd()
    const docker = async (...args: string[]) => (await engine.docker(args)).stdout.trim()
    const [first, second] = cluster.agents
    await pushImage(cluster.seeder.url, 'team/echo', '1', await runnableImage({ args: ['from the swarm'] }))

    await docker('pull', `${first!.host}/team/echo:1`)
    expect(await docker('run', '--rm', '--network', 'none', `${first!.host}/team/echo:1`)).toBe(
      'from the swarm',
    )

    await docker('tag', `${first!.host}/team/echo:1`, `${cluster.seeder.host}/team/pushed:2`)
    const pushed = /digest: (sha256:[0-9a-f]{64})/.exec(
      await docker('push', `${cluster.seeder.host}/team/pushed:2`),
    )?.[1]
    await docker('rmi', '--force', `${first!.host}/team/echo:1`, `${cluster.seeder.host}/team/pushed:2`)
    const pulled = await docker('pull', `${second!.host}/team/pushed:2`)
    expect(pushed).toBeDefined()
    expect(pulled).toContain(`Digest: ${pushed}`)
    expect(await docker('run', '--rm', '--network', 'none', `${second!.host}/team/pushed:2`)).toBe(
      'from the swarm',
    )
  }, 180_000)

  it('pulls an image of 30 layers and one with an empty layer', async () => {
    await using cluster = await startCluster({ agents: 1 })
    await using engine = await startDockerd()
    const [agent] = cluster.agents
    const many = buildImage({
      layers: await randomLayers({ count: 30, contentBytes: 200_000, seed: 'thirty' }),
    })
    const empty = buildImage({
      layers: [...(await programLayers('/bin/echo')), emptyLayer()],
      entrypoint: ['/bin/echo'],
      cmd: ['still here'],
    })
    await pushImage(cluster.seeder.url, 'team/many', '1', many)
    await pushImage(cluster.seeder.url, 'team/empty', '1', empty)
    const { stdout } = await engine.docker(['pull', `${agent!.host}/team/many:1`])
    expect(stdout).toContain(many.manifest.digest)
    await engine.docker(['pull', `${agent!.host}/team/empty:1`])
    const ran = await engine.docker(['run', '--rm', '--network', 'none', `${agent!.host}/team/empty:1`])
    expect(ran.stdout.trim()).toBe('still here')
  }, 180_000)

  it('gets the new image of a tag that was pushed again', async () => {
    await using cluster = await startCluster({ agents: 2, agentArgs: ['--tag-ttl-ms', '200'] })
    await using engine = await startDockerd()
    for (const word of ['old', 'new']) await pushAndExpect(cluster, word, engine.docker)
  }, 180_000)
})

async function pushAndExpect(
  cluster: Cluster,
  word: string,
  docker: (args: readonly string[]) => Promise<{ stdout: string }>,
): Promise<void> {
  const image = await runnableImage({ args: [word] })
  await pushImage(cluster.seeder.url, 'team/echo', 'latest', image)
  for (const agent of cluster.agents) {
    const name = `${agent.host}/team/echo:latest`
    await expect
      .poll(async () => (await docker(['pull', name])).stdout, { timeout: 20_000, interval: 100 })
      .toContain(image.manifest.digest)
    expect((await docker(['run', '--rm', '--network', 'none', name])).stdout.trim()).toBe(word)
  }
}
