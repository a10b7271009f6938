/**
 * Goal: nobody says where somebody else is, or leads others where they must not go; and a host that is none costs its sender
 * the stream and nobody else anything.
 * Method: whole seeders on loopback; agents that say what they like, standard clients, and questions in another's name from
 * other addresses of this machine. The rule itself is tested in core, what engines do with it in swarm.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request } from 'node:http'
import { bdecode } from '@shoal/core'
import {
  decodeResolution,
  decodeTrackerMessage,
  encodeAgentMessage,
  encodeMessage,
  type Resolution,
  type TrackerMessage,
} from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { buildImage } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { type LocalSeeder, linesWith, startLocalAgent, startLocalSeeder } from '../support/local-services.ts'
import { pullImage, pushImage } from '../support/push.ts'

const layer = await randomLayer({ contentBytes: 2_000_000, seed: 'whereabouts' })
const image = buildImage({ layers: [layer] })
let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

async function seederWithImage(): Promise<LocalSeeder> {
  const seeder = stack.use(await startLocalSeeder())
  await pushImage(seeder.url, 'team/app', '1', image)
  return seeder
}

interface Stream {
  readonly peerId: string
  readonly socket: WebSocket
  readonly heard: TrackerMessage[]
  readonly closed: Promise<{ code: number; reason: string }>
}

/** An announce stream that has said hello with what a test likes. */
async function stream(seeder: LocalSeeder, more: object = {}, localAddress = '127.0.0.1'): Promise<Stream> {
  const socket = new WebSocket(`${seeder.url.replace('http', 'ws')}/api/v1/announce-stream`, { localAddress })
  const heard: TrackerMessage[] = []
  socket.on('message', (frame: Buffer) => heard.push(decodeTrackerMessage(frame)))
  socket.on('error', () => {})
  stack.defer(() => socket.terminate())
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() })),
  )
  await once(socket, 'open')
  const peerId = randomBytes(20).toString('hex')
  socket.send(encodeMessage({ type: 'hello', version: 1, name: 'x', zone: '', peerId, port: 6001, ...more }))
  return { peerId, socket, heard, closed }
}
const welcomeOf = async ({ heard }: Stream) => {
  await expect.poll(() => heard[0]?.type).toBe('welcome')
  return heard[0] as TrackerMessage & { type: 'welcome' }
}

/** A GET from an address of this machine. */
async function get(
  url: string,
  headers: Readonly<Record<string, string>> = {},
  localAddress = '127.0.0.1',
): Promise<Buffer> {
  const asked = request(url, { headers, localAddress, agent: false }).end()
  const [answer] = await once(asked, 'response')
  const parts: Buffer[] = []
  for await (const part of answer) parts.push(part)
  return Buffer.concat(parts)
}
const blobUrl = (seeder: LocalSeeder, peerId = '') =>
  `${seeder.url}/api/v1/resolve?${new URLSearchParams({ repository: 'team/app', blob: layer.digest, peerId })}`
async function resolve(
  ...[seeder, peerId, headers, from]: [LocalSeeder, string?, Record<string, string>?, string?]
) {
  return decodeResolution(new Uint8Array(await get(blobUrl(seeder, peerId), headers, from)))
}
const infoHashIn = ({ blobs }: Resolution) => createHash('sha1').update(blobs[0]!.info).digest('hex')
const swarmsAt = async ({ url }: LocalSeeder) =>
  Number(/^shoal_seeder_swarms (\d+)/m.exec((await get(`${url}/metrics`)).toString())?.[1])
const percent = (hex: string) => hex.replace(/../g, '%$&')
async function standardAnnounce(seeder: LocalSeeder, infoHash: string, more: string) {
  const peerId = randomBytes(20).toString('hex')
  const query = `info_hash=${percent(infoHash)}&peer_id=${percent(peerId)}&left=0&${more}`
  return bdecode(new Uint8Array(await get(`${seeder.url}/announce?${query}`))) as Record<string, unknown>
}

describe('who says where he is', () => {
  it.each(['999.1.1.1', 'dead:beef', '127.1', '0x7f000001', 'a..b', '-a', 'a b', 'x/y', ''])(
    'with %j, which is neither an address nor a name, loses the stream, and is told why',
    async (host) => {
      const seeder = await seederWithImage()
      const other = await stream(seeder)
      const liar = await stream(seeder, { host })
      expect(await liar.closed).toEqual({ code: 1007, reason: 'WIRE_FRAME_INVALID' })
      expect(linesWith(seeder, 'announce-frame-refused')).toHaveLength(1)
      expect(other.socket.readyState).toBe(WebSocket.OPEN)
    },
  )

  it.each([
    // The last is told as the seeder's own address, whatever the port.
    ...[
      '169.254.169.254',
      '::ffff:169.254.1.1',
      'fe80::1',
      '224.0.0.1',
      'ff02::1',
      '255.255.255.255',
      '0.0.0.0',
    ],
  ])('at %s, where others must not be led, loses the stream', async (host) => {
    const seeder = await seederWithImage()
    const other = await stream(seeder)
    const liar = await stream(seeder, { host })
    expect(await liar.closed).toEqual({ code: 1008, reason: 'others must not be led there' })
    await welcomeOf(other)
    expect(other.heard.some(({ type }) => type === 'contacts')).toBe(false)
  })

  it('where the seeder is, loses the stream', async () => {
    const seeder = await seederWithImage()
    const liar = await stream(seeder, { port: Number(seeder.peerAddress.split(':')[1]) })
    expect((await liar.closed).code).toBe(1008)
  })

  it('by a name is told to agents, and left out where only addresses fit', async () => {
    const seeder = await seederWithImage()
    const infoHash = infoHashIn(await resolve(seeder))
    // Each of them ended the seeder, or would have: names of which a part of the parser thinks that they are addresses.
    for (const host of ['dead', 'node-7.example', 'f00', 'a.b'])
      (await stream(seeder, { host })).socket.send(
        encodeAgentMessage({ type: 'announce', swarms: [{ infoHash, state: 'seeding' }] }),
      )
    const plain = await stream(seeder, { port: 6007 })
    plain.socket.send(encodeAgentMessage({ type: 'announce', swarms: [{ infoHash, state: 'seeding' }] }))
    const told = async (compact: number) =>
      (await standardAnnounce(seeder, infoHash, `port=6881&compact=${compact}`)) as {
        peers: unknown
        peers6: Uint8Array
      }
    const hostsTold = async () =>
      ((await told(0)).peers as { ip: Uint8Array }[]).map(({ ip }) => Buffer.from(ip).toString())
    await expect
      .poll(hostsTold)
      .toEqual(expect.arrayContaining(['dead', 'node-7.example', 'f00', 'a.b', '127.0.0.1']))
    const { peers, peers6 } = (await told(1)) as { peers: Uint8Array; peers6: Uint8Array }
    const addresses = Array.from({ length: peers.length / 6 }, (_, n) =>
      [...peers.subarray(n * 6, n * 6 + 4)].join('.'),
    )
    expect(new Set(addresses)).toEqual(new Set(['127.0.0.1']))
    expect(peers6).toHaveLength(0)
  })
})

describe('a standard client', () => {
  const portsTold = (peers: unknown) => {
    const view = Buffer.from(peers as Uint8Array)
    return Array.from({ length: view.length / 6 }, (_, n) => view.readUInt16BE(n * 6 + 4))
  }

  it('with a port that is none is refused, and nobody is told of it', async () => {
    const seeder = await seederWithImage()
    const infoHash = infoHashIn(await resolve(seeder))
    for (const port of ['6881.5', '1e-3', '70000', '-1', '0', 'x', '6881&port=6882'])
      expect(await standardAnnounce(seeder, infoHash, `port=${port}&compact=1`), port).toHaveProperty(
        'failure reason',
      )
    const { peers } = await standardAnnounce(seeder, infoHash, 'port=6883&compact=1')
    expect(portsTold(peers)).toEqual([Number(seeder.peerAddress.split(':')[1])])
  })

  it('is where it comes from, whatever it says', async () => {
    const seeder = await seederWithImage()
    const infoHash = infoHashIn(await resolve(seeder))
    const lies = [
      'ip=10.9.9.9',
      'ipv4=10.9.9.9',
      'ip=169.254.169.254',
      'numwant=-7',
      'numwant=1e99',
      'event=constructor',
    ]
    for (const [n, lie] of lies.entries())
      expect(await standardAnnounce(seeder, infoHash, `port=${7100 + n}&compact=1&${lie}`)).toHaveProperty(
        'peers',
      )
    const { peers } = (await standardAnnounce(seeder, infoHash, 'port=6883')) as {
      peers: { ip: Uint8Array; port: number }[]
    }
    expect(peers).toHaveLength(1 + lies.length)
    expect(new Set(peers.map(({ ip }) => Buffer.from(ip).toString()))).toEqual(new Set(['127.0.0.1']))
  })
})

describe('a question in another’s name', () => {
  const header = 'shoal-stream-secret'

  it('is answered and takes nobody into a swarm; the agent’s own does', async () => {
    const seeder = await seederWithImage()
    const agent = await stream(seeder, { capabilities: ['stream-secret'] })
    const { streamSecret } = await welcomeOf(agent)
    const secret = Buffer.from(streamSecret!).toString('hex')
    expect(secret).toMatch(/^[0-9a-f]{64}$/)
    // From the very same address: behind one there are many.
    for (const guess of [
      undefined,
      '',
      '00'.repeat(32),
      secret.slice(2),
      `${secret}00`,
      'x'.repeat(64),
      '[object Object]',
    ]) {
      const answer = await resolve(seeder, agent.peerId, guess === undefined ? {} : { [header]: guess })
      expect(answer.blobs).toHaveLength(1)
      expect(answer.blobs[0]!.peers).toEqual([])
      expect(await swarmsAt(seeder)).toBe(0)
    }
    // The secret of a stream is that of its agent only.
    const other = await stream(seeder, { capabilities: ['stream-secret'] })
    await welcomeOf(other)
    expect((await resolve(seeder, other.peerId, { [header]: secret })).blobs[0]!.peers).toEqual([])
    const own = await resolve(seeder, agent.peerId, { [header]: secret })
    expect(own.blobs[0]!.peers.map(({ role }) => role)).toEqual(['seeder'])
    expect(await swarmsAt(seeder)).toBe(1)
    expect(seeder.logText()).not.toContain(secret)
    // It is worth nothing once its stream is closed.
    agent.socket.close()
    await expect.poll(() => swarmsAt(seeder)).toBe(0)
    expect((await resolve(seeder, agent.peerId, { [header]: secret })).blobs[0]!.peers).toEqual([])
  })

  it('is believed of an agent of the build before, from its own address only', async () => {
    const seeder = await seederWithImage()
    const older = await stream(seeder, {}, '127.0.0.7')
    expect(await welcomeOf(older)).not.toHaveProperty('streamSecret')
    expect((await resolve(seeder, older.peerId, {}, '127.0.0.8')).blobs[0]!.peers).toEqual([])
    expect(await swarmsAt(seeder)).toBe(0)
    expect((await resolve(seeder, older.peerId, {}, '127.0.0.7')).blobs[0]!.peers).toHaveLength(1)
  })

  it('is not what an agent asks: it shows its secret, which is in no log', async () => {
    const seeder = await seederWithImage()
    const agent = stack.use(await startLocalAgent(seeder.url))
    await expect.poll(() => linesWith(agent, 'announce-stream-open').length, { timeout: 10_000 }).toBe(1)
    // Its own answers have peers from the moment that it was welcomed; without them a pull takes the way by HTTP.
    await expect.poll(() => linesWith(seeder, 'agent-joined').length).toBe(1)
    await pullImage(agent.url, 'team/app', '1')
    expect(await swarmsAt(seeder)).toBeGreaterThan(0)
    for (const service of [seeder, agent]) expect(service.logText()).not.toMatch(/stream-?secret/i)
  })
})
