/** Goal: any BitTorrent client can be handed the `.torrent` of a layer. Method: webtorrent as a stranger, by the HTTP tracker. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { request } from 'undici'
import { expect, it } from 'vitest'
import WebTorrent from 'webtorrent'
import { startCluster } from '../support/cluster.ts'
import { buildImage } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { pullImage, pushImage } from '../support/push.ts'

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

it('the tracker keeps nothing of torrents that nobody pushed', async () => {
  await using cluster = await startCluster({ agents: 0 })
  const unknown = `/announce?info_hash=${'%ab'.repeat(20)}&peer_id=${'%cd'.repeat(20)}&port=6881&left=0`
  const answer = await request(`${cluster.seeder.url}${unknown}`)
  expect(await answer.body.text()).toContain('failure reason')
  expect(await cluster.seeder.metric('shoal_seeder_swarms')).toBe(0)
})
