/**
 * Goal: a crash of an agent costs at most the pieces in flight, and what it holds is announced again by itself. Method:
 * kill -9 in the middle of a pull, a start on the same folders, and the counters of what crossed the network.
 */

import { request } from 'undici'
import { describe, expect, it } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { buildImage } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { pullImage, pushImage } from '../support/push.ts'

const LAYER_BYTES = 120_000_000

describe('kill -9 on an agent', () => {
  it('keeps the pieces that were there, and fetches none of them twice', async () => {
    const image = buildImage({ layers: [await randomLayer({ contentBytes: LAYER_BYTES, seed: 'killed' })] })
    await using cluster = await startCluster({ agents: 1 })
    const [agent] = cluster.agents
    await pushImage(cluster.seeder.url, 'team/app', '1', image)

    const interrupted = pullImage(agent!.url, 'team/app', '1').catch((error: unknown) => error)
    await expect
      .poll(async () => (await agent!.received()).all, { timeout: 60_000, interval: 20 })
      .toBeGreaterThan(LAYER_BYTES / 4)
    const before = (await agent!.received()).all
    await agent!.kill9()
    expect(await interrupted).toBeInstanceOf(Error)
    expect(before).toBeLessThan(LAYER_BYTES)

    await agent!.start()
    // Held in part, wanted by nobody: announced all the same.
    await expect
      .poll(() => cluster.seeder.metric('shoal_seeder_swarms'), { timeout: 15_000 })
      .toBeGreaterThan(0)
    const pulled = await pullImage(agent!.url, 'team/app', '1')
    expect(pulled.digest).toBe(image.manifest.digest)
    const after = (await agent!.received()).all
    // Pieces in flight are lost: at most what the engine asks for at a time, 32 MiB, and what it asked for twice.
    expect(before + after).toBeLessThan(LAYER_BYTES + 40_000_000)
    expect(after).toBeLessThan(LAYER_BYTES)
  }, 180_000)

  it('leaves complete layers complete: a restarted agent fetches nothing and serves others', async () => {
    const image = buildImage({ layers: [await randomLayer({ contentBytes: 5_000_000, seed: 'complete' })] })
    await using cluster = await startCluster({ agents: 2 })
    const [first, second] = cluster.agents
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    await pullImage(first!.url, 'team/app', '1')
    await first!.kill9()
    await first!.start()
    await pullImage(first!.url, 'team/app', '1')
    expect((await first!.received()).all).toBe(0)
    await cluster.seeder.kill9()
    await pullImage(second!.url, 'team/app', '1')
    expect((await first!.metric('shoal_agent_sent_bytes_total')) > 0).toBe(true)
  }, 120_000)

  it('does not disturb the agents that were fetching from it', async () => {
    const image = buildImage({ layers: [await randomLayer({ contentBytes: 40_000_000, seed: 'disturbed' })] })
    await using cluster = await startCluster({ agents: 3 })
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    const [victim, ...others] = cluster.agents
    const pulls = others.map((agent) => pullImage(agent.url, 'team/app', '1'))
    const lost = pullImage(victim!.url, 'team/app', '1').catch((error: unknown) => error)
    await expect
      .poll(async () => (await victim!.received()).all, { timeout: 60_000, interval: 20 })
      .toBeGreaterThan(5_000_000)
    await victim!.kill9()
    for (const pulled of await Promise.all(pulls)) expect(pulled.digest).toBe(image.manifest.digest)
    await lost
  }, 180_000)
})

describe('readiness', () => {
  it('is answered by both services, and SIGTERM ends them with 0', async () => {
    await using cluster = await startCluster({ agents: 1 })
    for (const node of [cluster.seeder, cluster.agents[0]!]) {
      for (const path of ['/healthz', '/readyz']) {
        const answer = await request(`${node.url}${path}`)
        await answer.body.dump()
        expect(answer.statusCode).toBe(200)
      }
      expect(await node.process.stop()).toEqual({ code: 0, signal: null })
    }
  }, 60_000)
})
