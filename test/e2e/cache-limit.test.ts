/** Goal: a cache keeps to its limit, the least recently used layers go first, and what went can be had again. */
import { expect, it } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { buildImage } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { jsonEvent } from '../support/process.ts'
import { pullImage, pushImage } from '../support/push.ts'

const LIMIT_BYTES = 5_000_000

it('a full cache makes room for what is pulled now', async () => {
  await using cluster = await startCluster({
    agents: 1,
    agentArgs: ['--cache-max-bytes', String(LIMIT_BYTES)],
  })
  const [agent] = cluster.agents
  const tags = ['1', '2', '3']
  for (const tag of tags) {
    const layer = await randomLayer({ contentBytes: 2_000_000, seed: `cache ${tag}` })
    await pushImage(cluster.seeder.url, 'team/app', tag, buildImage({ layers: [layer] }))
    await pullImage(agent!.url, 'team/app', tag)
  }
  await agent!.process.waitForLine(jsonEvent('blob-evicted'), 20_000)
  await expect.poll(() => agent!.metric('shoal_agent_cache_bytes')).toBeLessThanOrEqual(LIMIT_BYTES)

  const before = (await agent!.received()).all
  await pullImage(agent!.url, 'team/app', '3')
  expect((await agent!.received()).all).toBe(before)
  await pullImage(agent!.url, 'team/app', '1')
  expect((await agent!.received()).all).toBeGreaterThan(before + 2_000_000)

  // A restart finds no more than the limit allows.
  await agent!.stop()
  await agent!.start()
  expect(await agent!.metric('shoal_agent_cache_bytes')).toBeLessThanOrEqual(LIMIT_BYTES)
}, 120_000)
