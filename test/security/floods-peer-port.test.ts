/**
 * Goal: connections that do nothing, on the peer ports of a seeder and of an agent, keep nobody out: an honest agent gets in
 * by BitTorrent, pulls from peers, and finds an agent that answers for the seeder. Method: more idle connections than there
 * are places, of every kind, opened again as they are closed, from a stranger's address and from the honest agents' own.
 */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { encodeHandshake } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { residentMegabytes } from '../bench/process-usage.ts'
import { buildImage } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { type LocalService, startLocalAgent, startLocalSeeder } from '../support/local-services.ts'
import { metric } from '../support/metric.ts'
import { pullImage, pushImage } from '../support/push.ts'
import { openRaw } from '../support/raw-http.ts'

const CONNECTIONS = 160

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

const image = buildImage({ layers: [await randomLayer({ contentBytes: 3_000_000, seed: 'idle' })] })

/** Info hashes of the image's blobs, by the `.torrent` of each. */
async function infoHashes(seeder: LocalService): Promise<string[]> {
  const { createHash } = await import('node:crypto')
  return Promise.all(
    [image.layers[0]!.digest, image.config.digest].map(async (digest) => {
      const torrent = Buffer.from(
        await (await fetch(`${seeder.url}/api/v1/torrents/${digest}.torrent`)).arrayBuffer(),
      )
      // The dictionary of a torrent ends with its `info`, and an `e` of its own.
      const info = torrent.subarray(torrent.indexOf('4:info') + 6, -1)
      return createHash('sha1').update(info).digest('hex')
    }),
  )
}

interface Idlers {
  /** How often one was closed, and came again. */
  readonly comings: number
}

/** Keeps so many connections open that say what they must to be kept, and nothing else. */
function idleOn(peerAddress: string, localAddress: string, first: () => Uint8Array): Idlers {
  const [host, port] = peerAddress.split(':') as [string, string]
  const sockets = new Set<Socket>()
  const idlers = { comings: 0 }
  let isOver = false
  const open = () => {
    if (isOver) return
    idlers.comings++
    const socket = connect({ host, port: Number(port), localAddress })
    sockets.add(socket)
    socket.on('error', () => {}).resume()
    socket.write(first())
    socket.once('close', () => {
      sockets.delete(socket)
      setImmediate(open)
    })
  }
  for (let n = 0; n < CONNECTIONS; n++) open()
  stack.defer(() => {
    isOver = true
    for (const socket of sockets) socket.destroy()
  })
  return idlers
}

const handshakeFor = (infoHash: string) => () =>
  encodeHandshake({ infoHash, peerId: randomBytes(20).toString('hex'), hasFast: true, hasExtensions: true })

describe.each([
  ['a stranger', '127.0.0.66'],
  ['the honest agents’ own address', '127.0.0.1'],
])('160 idle connections from %s', (_who, localAddress) => {
  it.each([
    ['that say nothing', () => new Uint8Array(0)],
    ['that begin a handshake', () => Buffer.from([19, 66, 105, 116])],
  ])(
    '%s keep no agent from the seeder’s peer port',
    async (_what, first) => {
      await using seeder = await startLocalSeeder()
      await pushImage(seeder.url, 'team/app', '1', image)
      const idlers = idleOn(seeder.peerAddress, localAddress, first)
      await expect.poll(() => idlers.comings, { timeout: 15_000 }).toBeGreaterThan(CONNECTIONS)
      await using agent = await startLocalAgent(seeder.url)
      expect((await pullImage(agent.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
      // By BitTorrent, and not by HTTP in its place.
      await expect.poll(() => metric(seeder, 'shoal_seeder_sent_bytes_total')).toBeGreaterThan(2_000_000)
    },
    30_000,
  )

  it('in every swarm keep no agent from its peers', async () => {
    await using seeder = await startLocalSeeder()
    await pushImage(seeder.url, 'team/app', '1', image)
    await using early = await startLocalAgent(seeder.url)
    await pullImage(early.url, 'team/app', '1')
    const before = await residentMegabytes('self')
    const idlers = (await infoHashes(seeder)).flatMap((infoHash) =>
      [seeder, early].map(({ peerAddress }) => idleOn(peerAddress, localAddress, handshakeFor(infoHash))),
    )
    await expect
      .poll(() => idlers.every(({ comings }) => comings > CONNECTIONS), { timeout: 15_000 })
      .toBe(true)
    await using late = await startLocalAgent(seeder.url)
    expect((await pullImage(late.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
    const fromPeers =
      (await metric(early, 'shoal_agent_sent_bytes_total')) +
      (await metric(seeder, 'shoal_seeder_sent_bytes_total'))
    expect(fromPeers).toBeGreaterThan(5_000_000)
    expect((await residentMegabytes('self')) - before).toBeLessThan(200)
  }, 30_000)

  it('on the HTTP of a peer port keep no agent from asking another in the seeder’s place', async () => {
    await using seeder = await startLocalSeeder()
    await pushImage(seeder.url, 'team/app', '1', image)
    await using agent = await startLocalAgent(seeder.url)
    await pullImage(agent.url, 'team/app', '1')
    const idlers = idleOn(agent.peerAddress, localAddress, () => Buffer.from('GET /api/v1/resolve?x'))
    await expect.poll(() => idlers.comings, { timeout: 15_000 }).toBeGreaterThan(CONNECTIONS)
    const asked = openRaw(
      `http://${agent.peerAddress}`,
      `GET /api/v1/resolve?repository=team/app&blob=${image.layers[0]!.digest} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`,
    )
    await asked.closed(10_000)
    expect(asked.text).toContain('200 OK')
  }, 30_000)
})
