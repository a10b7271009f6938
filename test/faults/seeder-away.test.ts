/**
 * Goal: an image that one agent has can be had by all, whatever happens to the seeder. Method: a real cluster of processes,
 * the seeder killed at the worst moments.
 */
import { describe, expect, it } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { buildImage } from '../support/images.ts'
import { emptyLayer, randomLayers } from '../support/layers.ts'
import { jsonEvent } from '../support/process.ts'
import { pullBlob, pullImage, pushImage } from '../support/push.ts'

const image = buildImage({
  layers: [...(await randomLayers({ count: 2, contentBytes: 6_000_000, seed: 'seeder-away' })), emptyLayer()],
})

describe('while the seeder is dead', () => {
  it('an agent that never saw the image gets it from the agent that has it', async () => {
    await using cluster = await startCluster({ agents: 2 })
    const [first, second] = cluster.agents
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    await pullImage(first!.url, 'team/app', '1')
    await cluster.seeder.kill9()

    const pulled = await pullImage(second!.url, 'team/app', '1')
    expect(pulled.digest).toBe(image.manifest.digest)
    const received = await second!.received()
    expect(received.seeder).toBe(0)
    expect(received.peer).toBeGreaterThanOrEqual(12_000_000)
  }, 120_000)

  it('an agent that has the image serves it after a restart, tag and all', async () => {
    await using cluster = await startCluster({ agents: 1, agentArgs: ['--tag-ttl-ms', '0'] })
    const [agent] = cluster.agents
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    await pullImage(agent!.url, 'team/app', '1')
    await cluster.seeder.kill9()
    await agent!.stop()
    await agent!.start()

    expect((await pullImage(agent!.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
    expect((await agent!.received()).all).toBe(0)
  }, 120_000)

  it('agents that are in the middle of a download finish it among themselves', async () => {
    await using cluster = await startCluster({ agents: 2 })
    const [first, second] = cluster.agents
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    await pullImage(first!.url, 'team/app', '1')
    const pulling = pullImage(second!.url, 'team/app', '1')
    await second!.process.waitForLine(jsonEvent('download-begins'), 20_000)
    await cluster.seeder.kill9()
    expect((await pulling).digest).toBe(image.manifest.digest)
  }, 120_000)

  it('what nobody has is a fast miss, not a hang', async () => {
    await using cluster = await startCluster({ agents: 1 })
    await cluster.seeder.kill9()
    await expect(pullImage(cluster.agents[0]!.url, 'team/app', '1')).rejects.toMatchObject({ status: 404 })
  }, 60_000)
})

describe('an image that was only looked at', () => {
  it('is a miss at every agent once the seeder is gone, manifests and blobs, so that clients turn elsewhere', async () => {
    await using cluster = await startCluster({ agents: 2, agentArgs: ['--tag-ttl-ms', '0'] })
    const [first] = cluster.agents
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    const path = 'v2/team/app/manifests/1'
    expect((await fetch(`${first!.url}/${path}`, { method: 'HEAD' })).status).toBe(200)
    await cluster.seeder.kill9()
    const paths = [
      path,
      `v2/team/app/manifests/${image.manifest.digest}`,
      ...image.layers.map(({ digest }) => `v2/team/app/blobs/${digest}`),
    ]
    const { host } = cluster.seeder
    for (const { url } of cluster.agents) {
      for (const each of paths) {
        const signal = AbortSignal.timeout(30_000)
        expect((await fetch(`${url}/${each}`, { method: 'HEAD', signal })).status, each).toBe(404)
        const answer = await fetch(`${url}/${each}`, { signal })
        expect(answer.status, each).toBe(404)
        expect(await answer.text()).toContain(
          `the seeder at http://${host} cannot be reached: connection refused`,
        )
      }
    }
    expect(await first!.metric('shoal_agent_unobtainable_total')).toBeGreaterThanOrEqual(paths.length)
    await first!.process.waitForLine(jsonEvent('image-unobtainable'), 10_000)
  }, 120_000)
})

describe('while the seeder hangs', () => {
  it('one question waits for it and no other, images are had from agents, and it counts again when it goes on', async () => {
    await using cluster = await startCluster({ agents: 2 })
    const [first, second] = cluster.agents
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    await pullImage(first!.url, 'team/app', '1')
    cluster.seeder.process.signal('SIGSTOP')
    try {
      // What comes from another registry was given 2.8 s for each question.
      const startedAt = performance.now()
      for (let n = 0; n < 10; n++)
        await expect(pullImage(second!.url, 'docker.io/library/app', `${n}`)).rejects.toMatchObject({
          status: 404,
        })
      expect(performance.now() - startedAt).toBeLessThan(14_000)
      await second!.process.waitForLine(jsonEvent('seeder-unreachable'), 10_000)
      expect((await pullImage(second!.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
    } finally {
      cluster.seeder.process.signal('SIGCONT')
    }
    await expect.poll(() => second!.metric('shoal_agent_seeder_up'), { timeout: 30_000 }).toBe(1)
    await pushImage(cluster.seeder.url, 'team/app', '2', image)
    expect((await pullImage(second!.url, 'team/app', '2')).digest).toBe(image.manifest.digest)
  }, 120_000)
})

describe('when the seeder comes back', () => {
  it('agents announce what they hold again, and no swarm is forgotten', async () => {
    await using cluster = await startCluster({ agents: 2 })
    const [first, second] = cluster.agents
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    await pullImage(first!.url, 'team/app', '1')
    const swarms = await cluster.seeder.metric('shoal_seeder_swarms')
    expect(swarms).toBeGreaterThanOrEqual(3)
    await cluster.seeder.kill9()
    await cluster.seeder.start()
    await expect.poll(() => cluster.seeder.metric('shoal_seeder_agents'), { timeout: 15_000 }).toBe(2)
    await expect.poll(() => cluster.seeder.metric('shoal_seeder_swarms'), { timeout: 15_000 }).toBe(swarms)

    await pullImage(second!.url, 'team/app', '1')
    expect((await second!.received()).peer).toBeGreaterThan(0)
  }, 120_000)

  it('a tag that was pushed again means the new image as soon as the short cache has passed', async () => {
    await using cluster = await startCluster({ agents: 2, agentArgs: ['--tag-ttl-ms', '300'] })
    const [other] = await Promise.all([
      buildImage({ layers: await randomLayers({ count: 1, contentBytes: 300_000, seed: 'again' }) }),
      pushImage(cluster.seeder.url, 'team/app', 'latest', image),
    ])
    for (const agent of cluster.agents) await pullImage(agent.url, 'team/app', 'latest')
    await pushImage(cluster.seeder.url, 'team/app', 'latest', other)
    for (const agent of cluster.agents) {
      await expect
        .poll(async () => (await pullImage(agent.url, 'team/app', 'latest')).digest, {
          timeout: 10_000,
          interval: 100,
        })
        .toBe(other.manifest.digest)
    }
  }, 120_000)
})

describe('a blob', () => {
  it('crosses the network once, however many clients ask for it at once', async () => {
    await using cluster = await startCluster({ agents: 1 })
    const [agent] = cluster.agents
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    const pulls = Array.from({ length: 4 }, () => pullImage(agent!.url, 'team/app', '1'))
    await Promise.all(pulls)
    const bytes = image.blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    // Blocks asked for twice at the end of the game, and no more.
    expect((await agent!.received()).all).toBeLessThan(1.05 * bytes)
  }, 60_000)

  it('can be had without its manifest', async () => {
    await using cluster = await startCluster({ agents: 1 })
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    const [layer] = image.layers
    await pullBlob(cluster.agents[0]!.url, 'team/app', layer!.digest)
  }, 60_000)
})
