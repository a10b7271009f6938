/**
 * Goal: what strangers send on announce streams ends no service, takes little of its memory, and keeps nobody out: little work
 * for the sender is little work here. Method: a seeder (or an agent) as a process of its own, whose memory is looked at from
 * outside; each flood that once took hundreds of megabytes; and somebody honest who is served while it lasts.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { encodeAgentMessage } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { peakMegabytes, residentMegabytes } from '../bench/process-usage.ts'
import { buildImage } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { startLocalAgent } from '../support/local-services.ts'
import { metric } from '../support/metric.ts'
import { pullImage, pushImage } from '../support/push.ts'
import { openRawWebSocket, type RawWebSocket } from '../support/raw-websocket.ts'
import { type ShoalProcess, startShoal } from '../support/shoal.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const STREAM_PATH = '/api/v1/announce-stream'
const STRANGER = '127.0.0.66'
/** Each of these floods once took from 250 to 1200. */
const GROWTH_MAX_MEGABYTES = 180

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

const image = buildImage({ layers: [await randomLayer({ contentBytes: 1_000_000, seed: 'floods' })] })

interface Flooded {
  readonly process: ShoalProcess
  readonly url: string
  /** Beyond what it took before the flood, at most. */
  grownMegabytes(): Promise<number>
}

async function seederProcess(): Promise<Flooded> {
  const folder = await temporaryFolder('flooded-seeder')
  stack.defer(() => folder.remove())
  const process = stack.use(
    await startShoal(
      ['seeder', '--listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0'].concat(
        ['--data', join(folder.path, 'data')],
        ['--origin', join(folder.path, 'origin')],
      ),
    ),
  )
  const url = `http://${process.ready.listen}`
  await pushImage(url, 'team/app', '1', image)
  return { process, url, grownMegabytes: await growthOf(process.pid) }
}

async function growthOf(pid: number): Promise<() => Promise<number>> {
  const before = await residentMegabytes(pid)
  return async () => {
    const grown = (await peakMegabytes(pid)) - before
    if (process.env.SHOW)
      console.log(expect.getState().currentTestName, 'before', before, 'grown', grown.toFixed(1))
    return grown
  }
}

async function openStream(url: string, localAddress: string): Promise<WebSocket> {
  const stream = new WebSocket(url.replace('http', 'ws') + STREAM_PATH, { localAddress })
  stream.on('error', () => {})
  stack.defer(() => stream.terminate())
  await once(stream, 'open')
  return stream
}

const hello = (n: number) =>
  encodeAgentMessage({
    type: 'hello',
    version: 1,
    name: `stranger ${n}`,
    zone: '',
    peerId: n.toString(16).padStart(40, 'f'),
    port: 6001,
  })
const announce = (infoHashes: readonly string[]) =>
  encodeAgentMessage({
    type: 'announce',
    swarms: infoHashes.map((infoHash) => ({ infoHash, state: 'leeching' as const })),
  })

/** Somebody honest pulls the image from the seeder by way of a new agent. */
async function pullsAnew(url: string): Promise<void> {
  await using agent = await startLocalAgent(url)
  expect((await pullImage(agent.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
}

/** MessagePack: an announce whose swarms are so many empty maps, of a byte each. */
function emptyMaps(count: number): Buffer {
  const header = Buffer.from([0x82, 0xa4, ...Buffer.from('type'), 0xa8, ...Buffer.from('announce')])
  const list = Buffer.from([0xa6, ...Buffer.from('swarms'), 0xdd, 0, 0, 0, 0])
  list.writeUInt32BE(count, list.length - 4)
  return Buffer.concat([header, list, Buffer.alloc(count, 0x80)])
}

describe('announce streams', () => {
  it('frames that unpack to many times their size are refused before anything is built of them', async () => {
    const seeder = await seederProcess()
    const nameless = await Promise.all(Array.from({ length: 16 }, () => openStream(seeder.url, STRANGER)))
    const named = await Promise.all(Array.from({ length: 16 }, () => openStream(seeder.url, STRANGER)))
    const closed = [...nameless, ...named].map((stream) => once(stream, 'close'))
    for (const stream of nameless) stream.send(emptyMaps(4_000_000))
    for (const [n, stream] of named.entries()) {
      stream.send(hello(n))
      stream.send(emptyMaps(130_000))
    }
    await pullsAnew(seeder.url)
    await Promise.all(closed)
    expect(await seeder.grownMegabytes()).toBeLessThan(GROWTH_MAX_MEGABYTES)
  }, 60_000)

  it('such a frame from a false seeder does not end an agent with little memory', async () => {
    const folder = await temporaryFolder('flooded-agent')
    stack.defer(() => folder.remove())
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false })
    stack.defer(() => void server.close())
    await once(server, 'listening')
    const { port } = server.address() as import('node:net').AddressInfo
    const refused = new Promise<void>((resolve) => {
      server.on('connection', (stream) => {
        stream.on('error', () => {})
        stream.once('close', () => resolve())
        stream.send(emptyMaps(4_000_000))
      })
    })
    const agent = stack.use(
      await startShoal(
        ['agent', '--listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0'].concat(
          ['--seeder', `http://127.0.0.1:${port}`],
          ['--cache', join(folder.path, 'cache')],
        ),
        { env: { NODE_OPTIONS: '--max-old-space-size=160' } },
      ),
    )
    await refused
    expect((await fetch(`http://${agent.ready.listen}/healthz`)).status).toBe(200)
    expect(agent.hasExited).toBe(false)
    expect(await peakMegabytes(agent.pid)).toBeLessThan(300)
    for (const stream of server.clients) stream.terminate()
  }, 60_000)

  it('frames that are never finished hold little, before hello and after it', async () => {
    const seeder = await seederProcess()
    const part = Buffer.alloc(120_000)
    const streams = await Promise.all(
      Array.from({ length: 400 }, () => openRawWebSocket(seeder.url + STREAM_PATH, STRANGER)),
    )
    for (const one of streams) stack.use(one)
    for (const [n, stream] of streams.entries()) {
      if (n % 2 === 0) stream.sendFrame(hello(n))
      stream.sendFrame(n % 4 < 2 ? part : Buffer.alloc(3_900_000), n % 4 < 2 ? 128 * 1024 : 4_000_000)
    }
    await pullsAnew(seeder.url)
    // All that have no name, all that claim too much, and of the others those beyond the address's share.
    await expect
      .poll(() => streams.filter(({ isClosed }) => isClosed).length, { timeout: 30_000 })
      .toBeGreaterThan(300)
    expect(await seeder.grownMegabytes()).toBeLessThan(GROWTH_MAX_MEGABYTES)
  }, 60_000)

  it('frames in many parts are not gathered', async () => {
    const seeder = await seederProcess()
    const parts = Buffer.concat([
      Buffer.from([0x02, 0x81, 0, 0, 0, 0, 1]),
      ...Array.from({ length: 20_000 }, () => Buffer.from([0x00, 0x81, 0, 0, 0, 0, 1])),
    ])
    const streams = await Promise.all(
      Array.from({ length: 100 }, () => openRawWebSocket(seeder.url + STREAM_PATH, STRANGER)),
    )
    for (const [n, stream] of streams.entries()) {
      stack.use(stream)
      stream.sendFrame(hello(n))
      stream.socket.write(parts)
    }
    await expect.poll(() => streams.every(({ isClosed }) => isClosed), { timeout: 20_000 }).toBe(true)
    await pullsAnew(seeder.url)
    expect(await seeder.grownMegabytes()).toBeLessThan(GROWTH_MAX_MEGABYTES)
  }, 60_000)

  it('160,000 info hashes that nobody knows make no swarms, few look-ups, and little memory', async () => {
    const seeder = await seederProcess()
    const lookupsBefore = await metric(seeder, 'shoal_seeder_origin_requests_total', 'operation="read"')
    const streams = await Promise.all(Array.from({ length: 8 }, () => openStream(seeder.url, STRANGER)))
    await Promise.all(
      streams.map(async (stream, n) => {
        stream.send(hello(n))
        for (let frame = 0; frame < 20; frame++)
          stream.send(announce(Array.from({ length: 1_000 }, () => randomBytes(20).toString('hex'))))
        stream.ping()
        await once(stream, 'pong')
      }),
    )
    await pullsAnew(seeder.url)
    expect(await metric(seeder, 'shoal_seeder_swarms')).toBeLessThan(10)
    const lookups =
      (await metric(seeder, 'shoal_seeder_origin_requests_total', 'operation="read"')) - lookupsBefore
    expect(lookups).toBeLessThan(20_000)
    expect(await seeder.grownMegabytes()).toBeLessThan(GROWTH_MAX_MEGABYTES)
  }, 90_000)

  it('small frames without end are read at a rate, or cost who sends them the stream', async () => {
    const seeder = await seederProcess()
    const streams = await Promise.all(Array.from({ length: 8 }, () => openStream(seeder.url, STRANGER)))
    const tries = encodeAgentMessage({ type: 'try-peers', id: 1 })
    for (const [n, stream] of streams.entries()) {
      const closed = once(stream, 'close')
      stream.send(hello(n))
      for (let frame = 0; frame < 20_000; frame++) stream.send(tries)
      await closed
    }
    await pullsAnew(seeder.url)
  }, 60_000)

  it('streams that say nothing lose their places to who comes, from the same address too', async () => {
    const seeder = await seederProcess()
    const idle: RawWebSocket[] = []
    // More than have a place before they have said hello.
    for (let n = 0; n < 1_100; n += 100)
      idle.push(
        ...(await Promise.all(
          Array.from({ length: 100 }, () => openRawWebSocket(seeder.url + STREAM_PATH, '127.0.0.1')),
        )),
      )
    for (const one of idle) stack.use(one)
    await expect.poll(() => idle.filter(({ isClosed }) => isClosed).length).toBeGreaterThanOrEqual(76)
    const honest = await openStream(seeder.url, '127.0.0.1')
    honest.send(hello(1))
    const [frame] = await once(honest, 'message')
    expect(Buffer.from(frame).toString('latin1')).toContain('welcome')
    expect(honest.readyState).toBe(WebSocket.OPEN)
  }, 60_000)
})
