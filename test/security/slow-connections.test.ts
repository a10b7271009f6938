/**
 * Goal: a connection that comes to nothing is cut on every port, whatever it is drip-fed, and who waits is served meanwhile.
 * Method: one of each kind on a seeder and an agent, all at once, since each is given its ten seconds.
 */
import { once } from 'node:events'
import { expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { buildImage } from '../support/images.ts'
import { fileLayer } from '../support/layers.ts'
import { startLocalAgent, startLocalSeeder } from '../support/local-services.ts'
import { pullImage, pushImage } from '../support/push.ts'
import { openRaw, type RawExchange } from '../support/raw-http.ts'

it('half a handshake, half a request, half a body, a stream without a hello', async () => {
  const image = buildImage({ layers: [await fileLayer([{ path: 'a', content: 'slow' }])] })
  await using seeder = await startLocalSeeder()
  await using agent = await startLocalAgent(seeder.url)
  await pushImage(seeder.url, 'team/app', '1', image)
  const handshake = Buffer.concat([Buffer.of(19), Buffer.from('BitTorrent protocol')])
  const open: RawExchange[] = []
  for (const { url, peerAddress } of [seeder, agent]) {
    const peer = `http://${peerAddress}`
    open.push(openRaw(url), dripping(openRaw(url, 'GET /v2/ HTTP/1.1\r\nx: ')))
    open.push(openRaw(peer), openRaw(peer, handshake), dripping(openRaw(peer, handshake)))
    open.push(openRaw(peer, Buffer.concat([handshake, Buffer.alloc(47)])))
  }
  const resolve = 'GET /api/v1/resolve?repository=a HTTP/1.1\r\nhost: x\r\nx: '
  open.push(dripping(openRaw(`http://${agent.peerAddress}`, resolve)))
  const event = 'POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n'
  open.push(dripping(openRaw(seeder.url, event)))
  const nameless = new WebSocket(`${seeder.url.replace('http', 'ws')}/api/v1/announce-stream`)
  const closed = once(nameless, 'close')
  expect((await pullImage(agent.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
  const took = await Promise.all(open.map((exchange) => exchange.closed(20_000)))
  expect(Math.max(...took)).toBeLessThan(15_000)
  await closed
}, 40_000)

/** Sends a byte now and then, so that nothing looks idle. */
function dripping(exchange: RawExchange): RawExchange {
  const interval = setInterval(() => exchange.write('0'), 500)
  exchange.socket.once('close', () => clearInterval(interval))
  return exchange
}
