/** Goal: what Shoal is for. Eight agents pull at once; the origin is read once; most bytes come from other agents. */

import { request } from 'undici'
import { describe, expect, it } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { buildImage } from '../support/images.ts'
import { randomLayer, randomLayers } from '../support/layers.ts'
import { pullImage, pushImage } from '../support/push.ts'

describe('eight agents that pull at once', () => {
  it('read the origin once and get most bytes from each other', async () => {
    await using cluster = await startCluster({ agents: 8 })
    const image = buildImage({
      layers: await randomLayers({ count: 3, contentBytes: 15_000_000, seed: 'fan-out' }),
    })
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    const before = await cluster.seeder.metric('shoal_seeder_origin_read_bytes_total')
    await Promise.all(cluster.agents.map((agent) => pullImage(agent.url, 'team/app', '1')))
    const originBytes = (await cluster.seeder.metric('shoal_seeder_origin_read_bytes_total')) - before
    expect(originBytes).toBeLessThanOrEqual(1.05 * image.sizeBytes)

    const received = await Promise.all(cluster.agents.map((agent) => agent.received()))
    const sum = (of: 'peer' | 'all') => received.reduce((total, bytes) => total + bytes[of], 0)
    console.log(
      `origin ${(originBytes / image.sizeBytes).toFixed(3)} ×, from peers ${((100 * sum('peer')) / sum('all')).toFixed(1)}%`,
    )
    expect(sum('peer')).toBeGreaterThanOrEqual(0.7 * sum('all'))
  }, 240_000)
})

describe('a client', () => {
  it('is given bytes before the agent has the whole layer', async () => {
    await using cluster = await startCluster({ agents: 1 })
    const [agent] = cluster.agents
    const layer = await randomLayer({ contentBytes: 100_000_000, seed: 'early' })
    await pushImage(cluster.seeder.url, 'team/app', '1', buildImage({ layers: [layer] }))
    const answer = await request(`${agent!.url}/v2/team/app/blobs/${layer.digest}`)
    let isFirst = true
    let bytes = 0
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (isFirst) expect((await agent!.received()).all).toBeLessThan(layer.sizeBytes)
      isFirst = false
    }
    expect(bytes).toBe(layer.sizeBytes)
  }, 120_000)

  it('is given a range of a layer that is still arriving', async () => {
    await using cluster = await startCluster({ agents: 1 })
    const [agent] = cluster.agents
    const layer = await randomLayer({ contentBytes: 40_000_000, seed: 'range' })
    await pushImage(cluster.seeder.url, 'team/app', '1', buildImage({ layers: [layer] }))
    const whole: Buffer[] = []
    for await (const chunk of layer.open()) whole.push(chunk as Buffer)
    const bytes = Buffer.concat(whole)
    const answer = await request(`${agent!.url}/v2/team/app/blobs/${layer.digest}`, {
      headers: { range: 'bytes=30000000-30099999' },
    })
    expect(answer.statusCode).toBe(206)
    expect(answer.headers['content-range']).toBe(`bytes 30000000-30099999/${layer.sizeBytes}`)
    const part = Buffer.from(await answer.body.arrayBuffer())
    expect(part.equals(bytes.subarray(30_000_000, 30_100_000))).toBe(true)
  }, 120_000)
})
