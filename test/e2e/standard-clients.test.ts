/**
 * Goal: any BitTorrent client can be handed the `.torrent` of a layer, and finds the rest by the HTTP tracker.
 * Method: webtorrent as a stranger beside an agent; then seven clients, each alone with the seeder on a torrent that nobody has
 * pulled: the first announce finds a seeder that serves the swarm, or those that dial once never finish.
 */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import WebTorrent from 'webtorrent'
import { type ClientNetwork, startClientNetwork } from '../support/bittorrent/client-network.ts'
import { fetchedFile, hostedClients } from '../support/bittorrent/hosted-clients.ts'
import { startCluster } from '../support/cluster.ts'
import { describeWith } from '../support/describe-with.ts'
import { sha256Of } from '../support/image-folders.ts'
import { buildImage } from '../support/images.ts'
import { type Layer, randomLayer, randomLayers } from '../support/layers.ts'
import { pullImage, pushImage } from '../support/push.ts'
import { untilReady } from '../support/readiness.ts'

it('a standard client fetches a layer from the seeder and from an agent', async () => {
  await using cluster = await startCluster({ agents: 1 })
  const layer = await randomLayer({ contentBytes: 8_000_000, seed: 'standard' })
  await pushImage(cluster.seeder.url, 'team/app', '1', buildImage({ layers: [layer] }))
  await pullImage(cluster.agents[0]!.url, 'team/app', '1')

  const answer = await request(`${cluster.seeder.url}/api/v1/torrents/${layer.digest}.torrent`)
  expect(answer.headers['content-type']).toBe('application/x-bittorrent')
  const torrentFile = new Uint8Array(await answer.body.arrayBuffer())
  const folder = await mkdtemp(join(tmpdir(), 'shoal-stranger-'))
  const client = new WebTorrent({
    dht: false,
    lsd: false,
    utPex: false,
    utp: false,
    natUpnp: false,
    natPmp: false,
    secure: 0,
    torrentPort: { host: '127.0.0.1', port: 0 },
  })
  try {
    const torrent = client.add(torrentFile, { path: folder })
    await new Promise<void>((resolve, reject) => {
      torrent.once('done', resolve)
      client.once('error', reject)
    })
    const original: Buffer[] = []
    for await (const chunk of layer.open()) original.push(chunk as Buffer)
    const fetched = await readFile(join(folder, layer.digest.replace(':', '-')))
    expect(fetched.equals(Buffer.concat(original))).toBe(true)
  } finally {
    await new Promise<void>((resolve) => client.destroy(() => resolve()))
    await rm(folder, { recursive: true })
  }
}, 120_000)

it('a blob has a torrent under either kind of digest', async () => {
  await using cluster = await startCluster({ agents: 0 })
  const bytes = randomBytes(100_000)
  for (const algorithm of ['sha256', 'sha512']) {
    const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
    const pushed = await request(`${cluster.seeder.url}/v2/team/blobs/blobs/uploads/?digest=${digest}`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body: bytes,
    })
    expect(pushed.statusCode).toBe(201)
    await pushed.body.dump()
    const answer = await request(`${cluster.seeder.url}/api/v1/torrents/${digest}.torrent`)
    expect(answer.statusCode).toBe(200)
    expect(Buffer.from(await answer.body.arrayBuffer()).toString('latin1')).toContain(
      digest.replace(':', '-'),
    )
  }
})

it('the tracker keeps nothing of torrents that nobody pushed', async () => {
  await using cluster = await startCluster({ agents: 0 })
  const unknown = `/announce?info_hash=${'%ab'.repeat(20)}&peer_id=${'%cd'.repeat(20)}&port=6881&left=0`
  const answer = await request(`${cluster.seeder.url}${unknown}`)
  expect(await answer.body.text()).toContain('failure reason')
  expect(await cluster.seeder.metric('shoal_seeder_swarms')).toBe(0)
})

describe('a torrent that nobody has pulled', () => {
  const CONTENT_BYTES = 3_000_001
  let network: ClientNetwork
  let layers: readonly Layer[]
  beforeAll(async () => {
    layers = await randomLayers({ count: hostedClients.length, contentBytes: CONTENT_BYTES, seed: 'fresh' })
    network = await startClientNetwork(
      hostedClients.map(({ name }) => name),
      layers,
    )
  })
  afterAll(() => network?.[Symbol.asyncDispose]())

  // Each waits far more than it works.
  describe.concurrent('is fetched', () => {
    for (const [n, client] of hostedClients.entries())
      describeWith(['network-namespaces', ...client.components], `by ${client.name}`, () => {
        it(`${client.name} fetches it from the seeder`, async () => {
          const layer = layers[n]!
          const folder = join(network.folder, client.name)
          await mkdir(join(folder, 'files'), { recursive: true })
          const torrentPath = network.torrentPath(layer)
          await using download = await client.download({
            host: network.hostOf(client.name),
            torrentPath,
            folder,
          })
          try {
            await untilReady(download, client.name, 60_000, async () => {
              const file = await fetchedFile(folder)
              if (file === undefined || (await stat(file)).size !== layer.sizeBytes) return false
              return `sha256:${await sha256Of(file)}` === layer.digest
            })
            if (client.name === 'libtorrent')
              await download.waitForLine((line) => line === 'scraped 1', 20_000)
          } finally {
            // Its farewells take seconds.
            await download.kill9()
          }
        })
      })
  })
})
