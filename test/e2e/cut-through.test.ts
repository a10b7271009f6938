/**
 * Goal: while the seeder still receives a blob, pushed or from another registry, nodes already receive its verified pieces, and
 * their clients with them; and a blob that turns out wrong reaches no client as a whole.
 * Method: a registry before which a proxy lets through so much and no more; pushes in two halves; what agents received by
 * their own metrics, before the second half moves.
 */
import { createHash, randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { expect, it, vi } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { buildImage } from '../support/images.ts'
import { randomLayers } from '../support/layers.ts'
import { jsonEvent } from '../support/process.ts'
import { pullBlob, pullImage, pushImage } from '../support/push.ts'
import { startUpstreamProxy } from '../support/upstream-proxy.ts'

const MIB = 1024 * 1024
const HOST = 'registry.test:5000'
const MIRRORED = 'registry.test_5000/team/app'

it('agents have the first half of a mirrored layer before the second has left its registry', async () => {
  const image = buildImage({
    layers: await randomLayers({ count: 1, contentBytes: 24 * MIB, seed: 'cut-through' }),
  })
  await using upstream = await startCluster({ agents: 0 })
  await using proxy = await startUpstreamProxy(upstream.seeder.url)
  await using cluster = await startCluster({
    agents: 3,
    seederArgs: ['--upstreams', `${HOST}=${proxy.url}`],
  })
  await pushImage(upstream.seeder.url, 'team/app', '1', image)
  const halt = proxy.haltBlobsAfter(12 * MIB)
  const pulling = Promise.all(cluster.agents.map(({ url }) => pullImage(url, MIRRORED, '1')))
  await halt.reached
  await vi.waitFor(
    async () => {
      for (const agent of cluster.agents) expect((await agent.received()).all).toBeGreaterThan(10 * MIB)
    },
    { timeout: 20_000, interval: 100 },
  )
  // Clients have what has come, with the header of the whole.
  const [layer] = image.layers
  const bytes = await buffer(layer!.open())
  for (const { url } of cluster.agents) {
    const answer = await fetch(`${url}/v2/${MIRRORED}/blobs/${layer!.digest}`, {
      headers: { range: `bytes=${MIB}-${2 * MIB - 1}` },
    })
    expect(answer.headers.get('content-range')).toBe(`bytes ${MIB}-${2 * MIB - 1}/${bytes.length}`)
    expect(Buffer.from(await answer.arrayBuffer()).equals(bytes.subarray(MIB, 2 * MIB))).toBe(true)
  }
  // The seeder sent each piece to somebody, and little more; the agents did the rest.
  expect(await cluster.seeder.metric('shoal_seeder_sent_bytes_total')).toBeLessThan(24 * MIB)
  halt.go()
  for (const { digest } of await pulling) expect(digest).toBe(image.manifest.digest)
  const received = await Promise.all(cluster.agents.map((agent) => agent.received()))
  for (const { all } of received) expect(all).toBeLessThan(26 * MIB)
}, 120_000)

it('a mirrored layer that turns out wrong is complete at no client, although its pieces were passed on', async () => {
  const image = buildImage({
    layers: await randomLayers({ count: 1, contentBytes: 12 * MIB, seed: 'wrong' }),
  })
  await using upstream = await startCluster({ agents: 0 })
  await using proxy = await startUpstreamProxy(upstream.seeder.url)
  await using cluster = await startCluster({
    agents: 2,
    seederArgs: ['--upstreams', `${HOST}=${proxy.url}`],
  })
  await pushImage(upstream.seeder.url, 'team/app', '1', image)
  proxy.misbehaviour = 'wrong-bytes'
  const halt = proxy.haltBlobsAfter(8 * MIB)
  const [agent, other] = cluster.agents
  const pulling = pullImage(agent!.url, MIRRORED, '1').then(
    () => 'pulled',
    () => 'refused',
  )
  await halt.reached
  await vi.waitFor(async () => expect((await agent!.received()).all).toBeGreaterThan(6 * MIB), 20_000)
  halt.go()
  expect(await pulling).toBe('refused')
  proxy.misbehaviour = 'none'
  await vi.waitFor(
    async () => expect((await pullImage(other!.url, MIRRORED, '1')).digest).toBe(image.manifest.digest),
    { timeout: 30_000, interval: 500 },
  )
}, 120_000)

it('nodes that a rule names have a pushed layer almost when the push ends, and give its end away when it has ended', async () => {
  await using cluster = await startCluster({ agents: 3, seederArgs: ['--warm-pushes', 'team/*:all'] })
  const bytes = randomBytes(24 * MIB)
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  const push = pushInHalves(cluster.seeder.url, 'team/app', digest, bytes)
  await push.halfSent
  await vi.waitFor(
    async () => {
      for (const agent of cluster.agents) expect((await agent.received()).all).toBeGreaterThan(10 * MIB)
    },
    { timeout: 20_000, interval: 100 },
  )
  const pull = (start: number, end: number) =>
    fetch(`${cluster.agents[0]!.url}/v2/team/app/blobs/${digest}`, {
      headers: { range: `bytes=${start}-${end - 1}` },
    })
  const early = await pull(0, 5 * MIB)
  expect(Buffer.from(await early.arrayBuffer()).equals(bytes.subarray(0, 5 * MIB))).toBe(true)
  // The header is there; the last bytes are not before the push has ended.
  const late = await pull(bytes.length - 10, bytes.length)
  expect(late.status).toBe(206)
  const ending = late.arrayBuffer().then((end) => Buffer.from(end))
  let isEnded = false
  void ending.then(() => {
    isEnded = true
  })
  const completed = Promise.all(
    cluster.agents.map(({ process }) => process.waitForLine(jsonEvent('blob-complete'), 20_000)),
  )
  expect(isEnded).toBe(false)
  expect(await push.finish()).toBe(201)
  expect((await ending).equals(bytes.subarray(bytes.length - 10))).toBe(true)
  await completed
  for (const { url } of cluster.agents)
    expect((await pullBlob(url, 'team/app', digest)).sizeBytes).toBe(bytes.length)
}, 120_000)

/** One PUT whose body comes in two halves. */
function pushInHalves(seederUrl: string, repository: string, digest: string, bytes: Buffer) {
  const half = bytes.length / 2
  const sent = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<ReturnType<typeof request>>()
  void (async () => {
    const upload = await fetch(`${seederUrl}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
    const url = new URL(`${upload.headers.get('location')}?digest=${digest}`, seederUrl)
    const put = request(url, { method: 'PUT', headers: { 'content-length': bytes.length } })
    put.write(bytes.subarray(0, half), () => sent.resolve())
    begun.resolve(put)
  })()
  return {
    halfSent: sent.promise,
    async finish(): Promise<number> {
      const put = await begun.promise
      return new Promise((resolve, reject) => {
        put.on('error', reject)
        put.on('response', (answer) => {
          answer.resume()
          resolve(answer.statusCode ?? 0)
        })
        put.end(bytes.subarray(half))
      })
    },
  }
}
