/**
 * Goal: what strangers say on the peer ports and to the tracker costs them their connection and nobody else anything: wrong
 * bytes reach no client, ids are not taken, floods are bounded.
 * Method: a whole seeder and agents beside peers and contacts that lie. What one package does with a bad frame is tested
 * there; here is what crosses them.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import {
  createPrng,
  type Digest,
  decodeInfo,
  encodeInfo,
  type Metainfo,
  parseDigest,
  pieceLengthFor,
} from '@shoal/core'
import { infoHashOf } from '@shoal/storage'
import { createEngine } from '@shoal/swarm'
import { MemoryPieces, type TestBlob, testBlob } from '@shoal/testing/memory-pieces'
import { dialRaw } from '@shoal/testing/raw-peer'
import { startStub } from '@shoal/testing/stub-server'
import {
  decodeResolution,
  decodeTrackerMessage,
  encodeAgentMessage,
  encodeResolution,
  type Resolution,
  STREAM_SECRET_CAPABILITY,
  STREAM_SECRET_HEADER,
  type TrackerMessage,
  tagRecordBytes,
} from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { buildImage, type Image } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import {
  type LocalSeeder,
  type LocalService,
  linesWith,
  startLocalAgent,
  startLocalSeeder,
} from '../support/local-services.ts'
import { metric } from '../support/metric.ts'
import { pullBlob, pullImage, pushImage } from '../support/push.ts'
import { openRaw } from '../support/raw-http.ts'

const PIECE = 256 * 1024
let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

const layer = await randomLayer({ contentBytes: 3_000_000, seed: 'peers' })
const image = buildImage({ layers: [layer] })
const bytesOfLayer = Buffer.concat(await layer.open().toArray())

const seederWith = async (one: Image = image, settings = {}): Promise<LocalSeeder> => {
  const seeder = stack.use(await startLocalSeeder(settings))
  await pushImage(seeder.url, 'team/app', '1', one)
  return seeder
}
const agentOf = async (seeder: LocalService, settings = {}) =>
  stack.use(await startLocalAgent(seeder.url, { tagTtlMs: 0, ...settings }))

async function resolution(seeder: LocalService, blob: string): Promise<Resolution> {
  const query = new URLSearchParams({ repository: 'team/app', blob })
  const answer = await fetch(`${seeder.url}/api/v1/resolve?${query}`)
  return decodeResolution(new Uint8Array(await answer.arrayBuffer()))
}
const infoHashIn = ({ blobs }: Resolution) => createHash('sha1').update(blobs[0]!.info).digest('hex')

interface Stream {
  readonly socket: WebSocket
  readonly heard: TrackerMessage[]
  readonly closeCode: number | undefined
}

/** An announce stream, as an agent or somebody who says so opens one. */
async function stream(seeder: LocalService, localAddress = '127.0.0.1', headers = {}): Promise<Stream> {
  const url = `${seeder.url.replace('http', 'ws')}/api/v1/announce-stream`
  const socket = new WebSocket(url, { localAddress, headers })
  const opened = { socket, heard: [] as TrackerMessage[], closeCode: undefined as number | undefined }
  socket.on('message', (frame: Buffer) => opened.heard.push(decodeTrackerMessage(frame)))
  socket.on('error', () => {})
  socket.once('close', (code) => {
    opened.closeCode = code
  })
  stack.defer(() => socket.terminate())
  await once(socket, 'open')
  return opened
}
const hello = ({ socket }: Stream, peerId: string, port: number, host?: string) =>
  socket.send(
    encodeAgentMessage({
      type: 'hello',
      version: 1,
      name: 'liar',
      zone: '',
      peerId,
      port,
      ...(host && { host }),
    }),
  )
const announce = ({ socket }: Stream, infoHashes: readonly string[]) =>
  socket.send(
    encodeAgentMessage({
      type: 'announce',
      swarms: infoHashes.map((infoHash) => ({ infoHash, state: 'seeding' })),
    }),
  )

const pieces = Array.from({ length: Math.ceil(bytesOfLayer.length / PIECE) }, (_, n) =>
  bytesOfLayer.subarray(n * PIECE, (n + 1) * PIECE),
)
const lies: Buffer[] = [
  Buffer.from(bytesOfLayer.map((byte, at) => (at % PIECE === 77 ? byte ^ 1 : byte))),
  Buffer.concat([...pieces.slice(0, -1).reverse(), pieces.at(-1)!]),
]

describe('pieces', () => {
  it('poisoned, or in another order, are kept, shown and passed on by nobody, and cost who sends them', async () => {
    const seeder = await seederWith(image, { uploadBytesPerSecond: 4_000_000 })
    const resolved = await resolution(seeder, layer.digest)
    const [{ info }] = resolved.blobs as [Resolution['blobs'][0]]
    const metainfo = decodeInfo(info)
    for (const [n, wrong] of lies.entries()) {
      const peerId = randomBytes(20).toString('hex')
      const engine = await createEngine('native', {
        host: '127.0.0.1',
        port: 0,
        peerId,
        prng: createPrng(n),
      })
      await engine.start()
      stack.defer(() => engine.stop())
      const liar = MemoryPieces.all({ bytes: bytesOfLayer, metainfo })
      wrong.copy(liar.bytes)
      await engine.join({ metainfo, infoHash: infoHashIn(resolved), pieces: liar })
      const opened = await stream(seeder)
      hello(opened, peerId, engine.address.port)
      announce(opened, [infoHashIn(resolved)])
    }
    await expect.poll(async () => metric(seeder, 'shoal_seeder_agents')).toBe(lies.length)
    const [one, two] = [await agentOf(seeder), await agentOf(seeder)]
    const pulled = await Promise.all([one, two].map(({ url }) => pullImage(url, 'team/app', '1')))
    for (const { digest } of pulled) expect(digest).toBe(image.manifest.digest)
    expect(
      (await metric(one, 'shoal_agent_piece_mismatches_total')) +
        (await metric(two, 'shoal_agent_piece_mismatches_total')),
    ).toBeGreaterThan(0)
  })

  it.each([
    ['that never come', () => {}],
    [
      'that end in the middle of a block',
      (socket: import('node:net').Socket) => {
        socket.write(
          Buffer.concat([
            frame(5, Buffer.alloc(2, 0xff)),
            Buffer.from([0, 0, 0x40, 9, 7, 0, 0, 0, 0, 0, 0, 0, 0]),
            Buffer.alloc(100),
          ]),
        )
        socket.end()
      },
    ],
    [
      'of an absurd length',
      (socket: import('node:net').Socket) => socket.write(Buffer.from('fffffffe07', 'hex')),
    ],
    [
      'of an index that is not there',
      (socket: import('node:net').Socket) =>
        socket.write(frame(7, Buffer.concat([Buffer.alloc(8, 0xff), Buffer.alloc(16_384)]))),
    ],
    [
      'in messages that nobody knows',
      (socket: import('node:net').Socket) =>
        socket.write(
          Buffer.concat(Array.from({ length: 2_000 }, (_, n) => frame(100 + (n % 100), Buffer.alloc(50)))),
        ),
    ],
  ])('%s do not keep a pull from ending', async (_what, misbehave) => {
    const seeder = await seederWith()
    const infoHash = infoHashIn(await resolution(seeder, layer.digest))
    const peerId = randomBytes(20)
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => {
        socket.write(
          Buffer.concat([
            Buffer.of(19),
            Buffer.from('BitTorrent protocol'),
            Buffer.alloc(8),
            Buffer.from(infoHash, 'hex'),
            peerId,
          ]),
        )
        misbehave(socket)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    stack.defer(() => void server.close())
    const opened = await stream(seeder)
    hello(opened, peerId.toString('hex'), (server.address() as import('node:net').AddressInfo).port)
    announce(opened, [infoHash])
    await expect.poll(async () => metric(seeder, 'shoal_seeder_agents')).toBe(1)
    const agent = await agentOf(seeder)
    expect((await pullImage(agent.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
  })
})

describe('another agent, asked in the seeder’s place', () => {
  const { privateKey } = generateKeyPairSync('ed25519')
  const evil: TestBlob = testBlob(bytesOfLayer.length, 7, pieceLengthFor(bytesOfLayer.length))
  const other = buildImage({ layers: [layer], env: ['EVIL=1'] })
  const tag = (digest: string, key?: import('node:crypto').KeyObject): NonNullable<Resolution['tag']> => {
    const record = {
      repository: 'team/app',
      tag: 'late',
      digest: parseDigest(digest),
      issuedAtMs: Date.now() + 60_000,
    }
    return {
      record,
      signature: key === undefined ? new Uint8Array(64) : sign(null, tagRecordBytes(record), key),
    }
  }
  const manifestOf = ({ manifest }: Image) => ({ ...manifest, digest: manifest.digest as Digest })

  /** A seeder that goes away, an agent, and a contact that answers it with what it likes. */
  async function leftAlone(answer: (query: URLSearchParams) => Resolution | undefined) {
    const seeder = await seederWith()
    const agent = await agentOf(seeder)
    const contact = stack.use(
      await startStub(({ path }, response) => {
        const said = answer(new URL(path, 'http://x').searchParams)
        if (said === undefined) return void response.writeHead(404).end()
        response.writeHead(200, { 'content-type': 'application/vnd.shoal.resolution.v1+msgpack' })
        response.end(encodeResolution(said))
      }),
    )
    const opened = await stream(seeder)
    hello(opened, 'cc'.repeat(20), Number(contact.host.split(':')[1]))
    await expect.poll(() => opened.heard.some(({ type }) => type === 'contacts')).toBe(true)
    await expect.poll(() => metric(agent, 'shoal_agent_announce_stream_up')).toBeGreaterThan(0)
    await seeder.stop()
    return { agent, contact }
  }

  it.each([
    ['without a signature', () => tag(other.manifest.digest)],
    ['signed by somebody else', () => tag(other.manifest.digest, privateKey)],
    ['not at all', () => undefined],
  ])('does not say what a tag means: %s', async (_what, signed) => {
    const { agent, contact } = await leftAlone(() => {
      const said = signed()
      return { manifests: [manifestOf(other)], blobs: [], ...(said && { tag: said }) }
    })
    const answer = await fetch(`${agent.url}/v2/team/app/manifests/late`)
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(contact.seen.length).toBeGreaterThan(0)
  })

  it('does not give other bytes for a manifest’s digest', async () => {
    const bytes = Buffer.from(other.manifest.bytes).fill(0x20, 5, 6)
    const { agent, contact } = await leftAlone(() => ({
      manifests: [{ ...manifestOf(other), bytes: Buffer.concat([bytes, Buffer.of(0x20)]) }],
      blobs: [],
    }))
    const answer = await fetch(`${agent.url}/v2/team/app/manifests/${other.manifest.digest}`)
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(contact.seen.length).toBeGreaterThan(0)
  })

  it('does not give other bytes for a blob’s digest, by metainfo of its own', async () => {
    const digest = layer.digest as Digest
    const metainfo: Metainfo = { ...evil.metainfo, digest }
    const peerId = 'dd'.repeat(20)
    const engine = await createEngine('native', { host: '127.0.0.1', port: 0, peerId, prng: createPrng(1) })
    await engine.start()
    stack.defer(() => engine.stop())
    await engine.join({
      metainfo,
      infoHash: infoHashOf(metainfo),
      pieces: MemoryPieces.all({ ...evil, metainfo }),
    })
    const { agent, contact } = await leftAlone((query) => ({
      manifests: query.has('blob') ? [] : [manifestOf(other)],
      blobs: [
        {
          info: encodeInfo(metainfo),
          peers: [{ peerId, host: '127.0.0.1', port: engine.address.port, role: 'agent' }],
        },
      ],
    }))
    const manifest = await fetch(`${agent.url}/v2/team/app/manifests/${other.manifest.digest}`)
    // What such a contact offers is nothing that the image could be had from.
    expect(manifest.status).toBe(404)
    await expect(pullBlob(agent.url, 'team/app', digest)).rejects.toThrow()
    expect(contact.seen.length).toBeGreaterThan(0)
    expect(await metric(agent, 'shoal_agent_blobs')).toBe(0)
  }, 60_000)
})

describe('a connection by another peer’s id', () => {
  const blob = testBlob(1_000_000, 3)
  const infoHash = infoHashOf(blob.metainfo)

  async function engineWith(pieces: MemoryPieces, seed: number) {
    const peerId = createHash('sha1').update(`peer ${seed}`).digest('hex')
    const engine = await createEngine('native', {
      host: '127.0.0.1',
      port: 0,
      peerId,
      prng: createPrng(seed),
    })
    await engine.start()
    stack.defer(() => engine.stop())
    return { engine, peerId, swarm: await engine.join({ metainfo: blob.metainfo, infoHash, pieces }) }
  }

  it.each([
    ['the one', 1, 2],
    ['the other', 2, 1],
  ])('that does nothing keeps nobody from whose id it is (%s has the blob)', async (_, a, b) => {
    const has = await engineWith(MemoryPieces.all(blob), a)
    const wanted = MemoryPieces.none(blob)
    const wants = await engineWith(wanted, b)
    const idlers = [
      await dialRaw(wants.engine.address.port, { infoHash, peerId: has.peerId, localAddress: '127.0.0.66' }),
      await dialRaw(has.engine.address.port, { infoHash, peerId: wants.peerId, localAddress: '127.0.0.66' }),
    ]
    for (const { socket } of idlers) stack.defer(() => void socket.destroy())
    wants.swarm.download()
    wants.swarm.connect([{ ...has.engine.address, peerId: has.peerId, role: 'agent' }])
    await expect.poll(() => wanted.have.isFull).toBe(true)
    expect(wanted.bytes.equals(blob.bytes)).toBe(true)
    expect(idlers.map(({ isClosed }) => isClosed)).toEqual([false, false])
  })
})

/** Said by who has said hello: it may say more at a time. */
const named = (say: (s: Stream) => void) => (s: Stream) => {
  hello(s, 'dd'.repeat(20), 6005)
  say(s)
}

describe('the announce stream', () => {
  const resolutionFor = async (seeder: LocalService, peerId: string) => {
    const query = new URLSearchParams({ repository: 'team/app', blob: layer.digest, peerId })
    return decodeResolution(
      new Uint8Array(await (await fetch(`${seeder.url}/api/v1/resolve?${query}`)).arrayBuffer()),
    )
  }

  it('gives nobody the id of another agent or of the seeder', async () => {
    const seeder = await seederWith()
    const infoHash = infoHashIn(await resolution(seeder, layer.digest))
    const victim = await stream(seeder)
    hello(victim, 'aa'.repeat(20), 6001)
    announce(victim, [infoHash])
    await expect.poll(() => metric(seeder, 'shoal_seeder_agents')).toBe(1)
    const thief = await stream(seeder, '127.0.0.9')
    hello(thief, 'aa'.repeat(20), 6666)
    announce(thief, [infoHash])
    await expect.poll(() => thief.closeCode).toBe(1008)
    expect(victim.socket.readyState).toBe(WebSocket.OPEN)
    // Who asks is told of the victim where it was.
    const asking = await stream(seeder)
    hello(asking, 'bb'.repeat(20), 6002)
    await expect.poll(() => metric(seeder, 'shoal_seeder_agents')).toBe(2)
    const { blobs } = await resolutionFor(seeder, 'bb'.repeat(20))
    expect(blobs[0]!.peers.map(({ port }) => port)).toContain(6001)
    expect(blobs[0]!.peers.map(({ port }) => port)).not.toContain(6666)
    const seederId = blobs[0]!.peers.find(({ role }) => role === 'seeder')!.peerId
    const impostor = await stream(seeder)
    hello(impostor, seederId, 6667)
    await expect.poll(() => impostor.closeCode).toBe(1008)
    expect(await metric(seeder, 'shoal_seeder_agents')).toBe(2)
    // The same agent on a new stream, from where it was.
    const again = await stream(seeder)
    hello(again, 'aa'.repeat(20), 6001)
    await expect.poll(() => again.heard.some(({ type }) => type === 'welcome')).toBe(true)
  })

  it('gives nobody at an agent’s own address its id, and the agent its place again', async () => {
    const seeder = await seederWith()
    const peerId = 'aa'.repeat(20)
    const greet = async (secret = '') => {
      const opened = await stream(seeder, '127.0.0.1', { [STREAM_SECRET_HEADER]: secret })
      const capabilities = [STREAM_SECRET_CAPABILITY]
      opened.socket.send(
        encodeAgentMessage({
          type: 'hello',
          version: 1,
          name: '',
          zone: '',
          peerId,
          port: 6001,
          capabilities,
        }),
      )
      await expect.poll(() => opened.heard.length > 0 || opened.closeCode !== undefined).toBe(true)
      const [welcome] = opened.heard
      const given = welcome?.type === 'welcome' ? welcome.streamSecret : undefined
      return { opened, secret: given && Buffer.from(given).toString('hex') }
    }
    const victim = await greet()
    for (const guess of ['', '00'.repeat(32), victim.secret!.slice(2)]) {
      const thief = await greet(guess)
      expect([thief.opened.closeCode, thief.secret]).toEqual([1008, undefined])
    }
    expect(victim.opened.socket.readyState).toBe(WebSocket.OPEN)
    const again = await greet(victim.secret)
    expect(again.secret).toBe(victim.secret)
    await expect.poll(() => victim.opened.closeCode).toBeDefined()
  })

  it('keeps a real agent there, whoever says its id', async () => {
    const seeder = await seederWith()
    const agent = await agentOf(seeder)
    await expect.poll(() => metric(agent, 'shoal_agent_announce_stream_up')).toBe(1)
    const spy = await stream(seeder)
    hello(spy, 'bb'.repeat(20), 6002)
    const contacts = () => spy.heard.flatMap((message) => (message.type === 'contacts' ? message.agents : []))
    await expect.poll(contacts).toHaveLength(1)
    const thief = await stream(seeder)
    hello(thief, contacts()[0]!.peerId, 6003)
    await expect.poll(() => thief.closeCode).toBe(1008)
    expect(agent.logText()).not.toContain('announce-stream-closed')
  })

  it('knows an agent that comes again while its old stream is not found dead yet', async () => {
    const seeder = await seederWith()
    const toAgent = new Set<Socket>()
    const relay = createServer((near) => {
      const far = connect(seeder.port, '127.0.0.1')
      toAgent.add(near)
      for (const socket of [near, far]) socket.on('error', () => {})
      stack.defer(() => void far.destroy())
      // What breaks towards the agent is not passed on: the seeder hears nothing of it.
      near.on('data', (bytes) => far.write(bytes))
      far.on('data', (bytes) => near.write(bytes))
    })
    relay.listen(0, '127.0.0.1')
    await once(relay, 'listening')
    stack.defer(() => void relay.close())
    const { port } = relay.address() as { port: number }
    const agent = stack.use(await startLocalAgent(`http://127.0.0.1:${port}`))
    const opened = () => agent.logText().split('"announce-stream-open"').length - 1
    await expect.poll(() => metric(seeder, 'shoal_seeder_agents')).toBe(1)
    for (const socket of toAgent) socket.destroy()
    await expect.poll(opened).toBe(2)
    await pullImage(agent.url, 'team/app', '1')
    expect(agent.logText()).not.toContain('this id is taken')
    expect(await metric(agent, 'shoal_agent_announce_stream_up')).toBe(1)
  })

  it('puts nobody into swarms but who has a stream open', async () => {
    const seeder = await seederWith()
    for (let n = 0; n < 50; n++) await resolutionFor(seeder, n.toString(16).padStart(40, '0'))
    expect(await metric(seeder, 'shoal_seeder_agents')).toBe(0)
    expect(await metric(seeder, 'shoal_seeder_swarms')).toBe(0)
    expect((await resolutionFor(seeder, 'ab'.repeat(20))).blobs[0]!.peers).toEqual([])
  })

  it('bounds what one agent may announce, and forgets it with the agent', async () => {
    const seeder = await seederWith()
    const flood = await stream(seeder)
    hello(flood, 'ff'.repeat(20), 6003)
    for (let n = 0; n < 25; n++)
      announce(
        flood,
        Array.from({ length: 1_000 }, () => randomBytes(20).toString('hex')),
      )
    flood.socket.ping()
    await once(flood.socket, 'pong')
    // Everybody else is served meanwhile.
    const agent = await agentOf(seeder)
    expect((await pullImage(agent.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
    expect(await metric(seeder, 'shoal_seeder_swarms')).toBeLessThan(10)
  }, 60_000)

  it.each([
    ['a frame of no MessagePack', (s: Stream) => s.socket.send(Buffer.from('c1', 'hex')), 1007],
    ['a text', (s: Stream) => s.socket.send('{"type":"hello"}'), 1007],
    ['an announcement before hello', (s: Stream) => announce(s, ['aa'.repeat(20)]), 1008],
    ['five megabytes', named((s) => s.socket.send(Buffer.alloc(5_000_000))), [1006, 1009]],
    ['more than a hello before it', (s: Stream) => s.socket.send(Buffer.alloc(8_200)), 1007],
    ['a list that says it is long', (s: Stream) => s.socket.send(Buffer.from('ddffffffff', 'hex')), 1007],
    [
      'maps within maps',
      named((s) => s.socket.send(Buffer.concat([Buffer.alloc(100_000, 0x91), Buffer.of(0xc0)]))),
      1007,
    ],
    ['too many swarms in a frame', named((s) => announce(s, Array(1_025).fill('aa'.repeat(20)))), 1007],
    ['a port that is none', (s: Stream) => hello(s, 'aa'.repeat(20), 70_000), 1007],
    ['a host with a path', (s: Stream) => hello(s, 'aa'.repeat(20), 1, '127.0.0.1/x?y@z'), 1007],
    [
      'a role that it has not',
      (s: Stream) =>
        s.socket.send(
          encodeAgentMessage({ type: 'welcome', version: 1, signingKey: new Uint8Array(3) } as never),
        ),
      1007,
    ],
  ])('is closed for %s, and nobody else’s is', async (_what, say, code) => {
    const seeder = await seederWith()
    const quiet = await stream(seeder)
    hello(quiet, 'ee'.repeat(20), 6004)
    const opened = await stream(seeder)
    say(opened)
    // A code may be lost where more was on its way.
    await expect.poll(() => opened.closeCode).toBeOneOf([code].flat())
    expect(quiet.socket.readyState).toBe(WebSocket.OPEN)
    expect((await fetch(`${seeder.url}/healthz`)).status).toBe(200)
  })
})

describe('the HTTP tracker', () => {
  const encoded = (hex: string) => hex.replace(/../g, '%$&')
  const ask = async (seeder: LocalService, fields: Record<string, string>, headers = {}) => {
    const query = Object.entries({
      port: '6881',
      uploaded: '0',
      downloaded: '0',
      left: '0',
      compact: '1',
      ...fields,
    })
      .map(([name, value]) => `${name}=${value}`)
      .join('&')
    return Buffer.from(
      await (await fetch(`${seeder.url}/announce?${query}`, { headers })).arrayBuffer(),
    ).toString('latin1')
  }

  it('lists who announces by its own address, whatever it says', async () => {
    const seeder = await seederWith()
    const info_hash = encoded(infoHashIn(await resolution(seeder, layer.digest)))
    const forged = { ip: '10.9.8.7', ipv4: '10.9.8.7', ipv6: '::5' }
    const headers = { 'x-forwarded-for': '10.9.8.7', 'x-real-ip': '10.9.8.7' }
    await ask(seeder, { info_hash, peer_id: encoded('a1'.repeat(20)), ...forged }, headers)
    const answer = await ask(seeder, { info_hash, peer_id: encoded('a2'.repeat(20)) })
    expect(answer).toContain(Buffer.from([127, 0, 0, 1, 0x1a, 0xe1]).toString('latin1'))
    expect(answer).not.toContain(Buffer.from([10, 9, 8, 7]).toString('latin1'))
  })

  it('takes no agent’s place and not the seeder’s', async () => {
    const seeder = await seederWith()
    const infoHash = infoHashIn(await resolution(seeder, layer.digest))
    const agent = await stream(seeder)
    hello(agent, 'aa'.repeat(20), 6001)
    announce(agent, [infoHash])
    await expect.poll(() => metric(seeder, 'shoal_seeder_agents')).toBe(1)
    // Who wants the blob is told of the seeder, and of its id.
    const wanting = await stream(seeder)
    hello(wanting, 'bb'.repeat(20), 6002)
    await expect.poll(() => metric(seeder, 'shoal_seeder_agents')).toBe(2)
    const query = new URLSearchParams({ repository: 'team/app', blob: layer.digest, peerId: 'bb'.repeat(20) })
    const answer = await fetch(`${seeder.url}/api/v1/resolve?${query}`)
    const { blobs } = decodeResolution(new Uint8Array(await answer.arrayBuffer()))
    const seederId = blobs[0]!.peers.find(({ role }) => role === 'seeder')!.peerId
    const info_hash = encoded(infoHash)
    expect(await ask(seeder, { info_hash, peer_id: encoded(seederId), port: '6666' })).toContain(
      'failure reason',
    )
    await ask(seeder, { info_hash, peer_id: encoded('aa'.repeat(20)), port: '6666' })
    const seen = await ask(seeder, { info_hash, peer_id: encoded('a3'.repeat(20)), port: '6882' })
    expect(seen).toContain(Buffer.from([127, 0, 0, 1, 6001 >> 8, 6001 & 255]).toString('latin1'))
    expect(seen).not.toContain(Buffer.from([127, 0, 0, 1, 6666 >> 8, 6666 & 255]).toString('latin1'))
    await ask(seeder, { info_hash, peer_id: encoded('aa'.repeat(20)), event: 'stopped' })
    expect(await metric(seeder, 'shoal_seeder_agents')).toBe(2)
  })

  it('makes no swarms of what is not here, and bounds those of what is', async () => {
    const seeder = await seederWith()
    for (let n = 0; n < 100; n++) {
      const answer = await ask(seeder, {
        info_hash: encoded(randomBytes(20).toString('hex')),
        peer_id: encoded('a1'.repeat(20)),
      })
      expect(answer).toContain('failure reason')
    }
    expect(await metric(seeder, 'shoal_seeder_swarms')).toBe(0)
    const info_hash = encoded(infoHashIn(await resolution(seeder, layer.digest)))
    for (let n = 0; n < 1_100; n += 50)
      await Promise.all(
        Array.from({ length: 50 }, (_, at) =>
          ask(seeder, { info_hash, peer_id: encoded((n + at).toString(16).padStart(40, '0')) }),
        ),
      )
    const scrape = await (await fetch(`${seeder.url}/scrape?info_hash=${info_hash}`)).text()
    // Of one address, and the seeder; a swarm may have twice as many.
    expect(Number(/8:completei(\d+)e/.exec(scrape)?.[1])).toBe(500 + 1)
    const many = await ask(seeder, { info_hash, peer_id: encoded('ab'.repeat(20)), numwant: '999999999' })
    expect(many.length).toBeLessThan(2_000)
    const agent = await agentOf(seeder)
    expect((await pullImage(agent.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
  }, 60_000)

  it.each([
    'info_hash=x',
    'info_hash=%00',
    `info_hash=${'a'.repeat(5_000)}`,
    '',
    'info_hash=%zz&peer_id=%zz',
    'port=-1',
    'port=99999999',
  ])('refuses %.20s, and lives', async (query) => {
    const seeder = await seederWith()
    for (const action of ['announce', 'scrape']) {
      const answer = await fetch(`${seeder.url}/${action}?${query}`)
      expect(await answer.text()).not.toContain('5:peers')
    }
    expect((await fetch(`${seeder.url}/healthz`)).status).toBe(200)
  })
})

describe('a connection that comes to nothing', () => {
  it('is closed at once where it is neither BitTorrent nor asked for', async () => {
    const seeder = await seederWith()
    const agent = await agentOf(seeder)
    for (const { peerAddress } of [seeder, agent])
      for (const first of ['\x16\x03\x01\x02\x00\x01', '\x00\x00\x00\x00', 'SSH-2.0-x\r\n'])
        expect(
          await openRaw(`http://${peerAddress}`, Buffer.from(first, 'latin1')).closed(12_000),
        ).toBeLessThan(11_500)
    expect(
      await openRaw(`http://${seeder.peerAddress}`, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n').closed(5_000),
    ).toBeLessThan(4_000)
    for (const path of [
      '/metrics',
      '/v2/',
      '/healthz',
      '/api/v1/gc',
      '/api/v1/resolve?repository=../..&reference=1',
    ])
      expect((await fetch(`http://${agent.peerAddress}${path}`)).status, path).toBe(404)
    expect(linesWith(agent, '"level":60')).toEqual([])
  }, 60_000)
})

function frame(id: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(payload.length + 1)
  head[4] = id
  return Buffer.concat([head, payload])
}
