/**
 * Goal: no connection that breaks, wherever it stands, ends a service. An emitter without an error listener did: one reset at
 * the right moment, and a seeder was gone.
 * Method: services as processes, which end with an error that nobody handled. Every listener is spoken to in every way that it
 * knows, and reset at every stage: before a byte, after each part, when the first byte comes back, and in the middle of an
 * answer. Then the other way round: what the services ask of others breaks at every stage.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { encodeInfo, pieceLengthFor } from '@shoal/core'
import { testBlob } from '@shoal/testing/memory-pieces'
import { startStub } from '@shoal/testing/stub-server'
import { decodeResolution, encodeHandshake, encodeProbe, encodeResolution } from '@shoal/wire'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Cluster, type Node, startCluster } from '../support/cluster.ts'
import { freePort } from '../support/free-port.ts'
import { buildImage } from '../support/images.ts'
import { randomLayer } from '../support/layers.ts'
import { pullImage, pushImage } from '../support/push.ts'
import { startShoal } from '../support/shoal.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const layer = await randomLayer({ contentBytes: 6_000_000, seed: 'resets' })
const image = buildImage({ layers: [layer] })

async function expectAlive(node: Node): Promise<void> {
  const answer = await fetch(`${node.url}/healthz`).catch((error: unknown) => error)
  expect(
    {
      hasExited: node.process.hasExited,
      status: answer instanceof Response ? answer.status : String(answer),
    },
    node.process.lines.slice(-5).join('\n'),
  ).toEqual({ hasExited: false, status: 200 })
}

/** What is said, and the stage at which the connection is reset. */
type Stage = { readonly sentBytes: number } | 'first answer' | 'mid answer'

async function resetAt(address: string, bytes: Buffer, stage: Stage): Promise<void> {
  const [host, port] = [address.slice(0, address.lastIndexOf(':')), Number(address.split(':').at(-1))]
  const socket = connect({ host, port })
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  await Promise.race([once(socket, 'connect'), closed])
  let heard = 0
  socket.on('data', (chunk) => {
    heard += chunk.length
    if (stage === 'first answer' || (stage === 'mid answer' && heard > 65_536)) socket.resetAndDestroy()
  })
  if (typeof stage === 'object') {
    const sent = bytes.subarray(0, stage.sentBytes)
    if (sent.length === 0) socket.resetAndDestroy()
    else socket.write(sent, () => socket.resetAndDestroy())
  } else socket.write(bytes)
  // Where nothing comes back there is no later stage.
  const timer = setTimeout(() => socket.resetAndDestroy(), 500)
  await closed
  clearTimeout(timer)
}

const stagesOf = (bytes: Buffer): Stage[] => [
  ...[0, 1, 0.3, 0.6, 0.9, 1].map((part, n) => ({ sentBytes: n === 1 ? 1 : Math.ceil(bytes.length * part) })),
  'first answer',
  'mid answer',
]

const http = (method: string, path: string, headers: readonly string[] = [], body = '') =>
  Buffer.from(
    `${[`${method} ${path} HTTP/1.1`, 'host: x', ...headers].join('\r\n')}\r\n\r\n${body}`,
    'latin1',
  )
const websocket = [
  'connection: Upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
]
const percent = (hex: string) => hex.replace(/../g, '%$&')

/** What any HTTP listener may be sent. */
const requests = (infoHash: string): readonly [string, Buffer][] => [
  ['a check', http('GET', '/healthz')],
  ['a manifest', http('GET', '/v2/team/app/manifests/1')],
  ['a layer', http('GET', `/v2/team/app/blobs/${layer.digest}`)],
  ['ranges of a layer', http('GET', `/v2/team/app/blobs/${layer.digest}`, ['range: bytes=0-9,100-4000000'])],
  ['a push', http('POST', '/v2/team/app/blobs/uploads/', ['content-length: 100000'], 'x'.repeat(50_000))],
  [
    'a push in chunks',
    http(
      'POST',
      '/v2/team/app/blobs/uploads/',
      ['transfer-encoding: chunked'],
      `ffff\r\n${'x'.repeat(30_000)}`,
    ),
  ],
  ['a manifest’s push', http('PUT', '/v2/team/app/manifests/2', ['content-length: 900'], '{'.repeat(500))],
  ['an upgrade elsewhere', http('GET', '/not-there', websocket)],
  ['an upgrade to anything', http('GET', '/v2/', ['connection: Upgrade', 'upgrade: anything'])],
  [
    'an offer of HTTP/2',
    http('POST', '/api/v1/publish', ['connection: Upgrade', 'upgrade: h2c', 'content-length: 9'], '1234'),
  ],
  ['the announce stream', http('GET', '/api/v1/announce-stream', websocket)],
  [
    'a frame on the stream',
    Buffer.concat([
      http('GET', '/api/v1/announce-stream', websocket),
      Buffer.from([0x82, 0xfe, 0x10, 0x00, 1, 2, 3, 4, ...Array(600).fill(7)]),
    ]),
  ],
  [
    'an announce',
    http(
      'GET',
      `/announce?info_hash=${percent(infoHash)}&peer_id=${percent('cd'.repeat(20))}&port=6881&left=0&compact=1`,
    ),
  ],
  ['a scrape', http('GET', `/scrape?info_hash=${percent(infoHash)}`)],
  ['a resolution', http('GET', `/api/v1/resolve?repository=team/app&reference=1&peerId=${'ab'.repeat(20)}`)],
  ['a tunnel', http('CONNECT', 'elsewhere:1')],
  ['a body awaited', http('PUT', '/v2/team/app/manifests/2', ['expect: 100-continue', 'content-length: 5'])],
  ['no HTTP', Buffer.from('\x00\x01nonsense\r\n\r\n')],
  ['a head without end', http('GET', `/${'a'.repeat(40_000)}`)],
]

const peerWords = (infoHash: string): readonly [string, Buffer][] => {
  const peerId = '77'.repeat(20)
  const handshake = encodeHandshake({ infoHash, peerId, hasFast: true, hasExtensions: true })
  const want = Buffer.from([0, 0, 0, 1, 2])
  const request = Buffer.from([0, 0, 0, 13, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0])
  return [
    ['a handshake', Buffer.from(handshake)],
    [
      'a handshake for nobody',
      Buffer.from(
        encodeHandshake({ infoHash: '00'.repeat(20), peerId, hasFast: false, hasExtensions: false }),
      ),
    ],
    [
      'requests',
      Buffer.concat([handshake, Buffer.from([0, 0, 0, 1, 0x0f]), want, ...Array(40).fill(request)]),
    ],
    [
      'half a block',
      Buffer.concat([handshake, Buffer.from([0, 0, 0x40, 9, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3])]),
    ],
    ['a probe', Buffer.from(encodeProbe('ab'.repeat(20), peerId))],
    ['a resolution', http('GET', '/api/v1/resolve?repository=team/app&reference=1')],
    ['an upgrade', http('GET', '/api/v1/resolve', websocket)],
    ['nonsense', Buffer.from('\x00nonsense')],
  ]
}

describe('a connection that is reset', () => {
  let cluster: Cluster
  let infoHash: string
  beforeAll(async () => {
    cluster = await startCluster({ agents: 1, agentArgs: ['--forward-pushes', 'true'] })
    await pushImage(cluster.seeder.url, 'team/app', '1', image)
    await pullImage(cluster.agents[0]!.url, 'team/app', '1')
    const query = new URLSearchParams({ repository: 'team/app', blob: layer.digest })
    const answer = await fetch(`${cluster.seeder.url}/api/v1/resolve?${query}`)
    const { blobs } = decodeResolution(new Uint8Array(await answer.arrayBuffer()))
    infoHash = createHash('sha1').update(blobs[0]!.info).digest('hex')
  })
  afterAll(() => cluster?.stop())

  const everyStage = async (address: string, words: readonly [string, Buffer][], node: Node) => {
    for (const [what, bytes] of words) {
      const rounds = stagesOf(bytes).flatMap((stage) => [stage, stage, stage])
      await Promise.all(rounds.map((stage) => resetAt(address, bytes, stage)))
      expect(node.process.hasExited, `after resets of ${what}: ${node.process.lines.at(-1)}`).toBe(false)
    }
    await expectAlive(node)
  }

  it('ends no seeder, on its HTTP port', () =>
    everyStage(cluster.seeder.host, requests(infoHash), cluster.seeder))
  it('ends no seeder, on its peer port', () =>
    everyStage(cluster.seeder.peerHost, peerWords(infoHash), cluster.seeder))
  it('ends no agent, on its local port, whose pushes go on to the seeder', async () => {
    await everyStage(cluster.agents[0]!.host, requests(infoHash), cluster.agents[0]!)
    await expectAlive(cluster.seeder)
  })
  it('ends no agent, on its peer port', () =>
    everyStage(cluster.agents[0]!.peerHost, peerWords(infoHash), cluster.agents[0]!))
  it('leaves the cluster as it was', async () => {
    const late = await cluster.addAgent()
    expect((await pullImage(late.url, 'team/app', '1')).digest).toBe(image.manifest.digest)
  })
})

/** A listener that says some bytes and then resets, or only resets. */
async function breaking(answers: (socket: Socket, asked: string) => void) {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (asked) => answers(socket, asked.toString('latin1')))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}

/** Of a seeder, as an agent asks it. */
const READY = JSON.stringify({ status: 'ready', service: 'seeder' })

const brokenAnswers: readonly [string, (socket: Socket, asked: string) => void][] = [
  ['nothing', (socket) => socket.resetAndDestroy()],
  ['half a head', (socket) => socket.write('HTTP/1.1 206 Par', () => socket.resetAndDestroy())],
  [
    'a head and no body',
    (socket) =>
      socket.write('HTTP/1.1 206 P\r\ncontent-length: 200000\r\n\r\n', () => socket.resetAndDestroy()),
  ],
  [
    'the head of another range, and then nothing',
    (socket) =>
      socket.write(
        'HTTP/1.1 206 P\r\ncontent-length: 200000\r\ncontent-range: bytes 5-200004/900000\r\n\r\nxxx',
        () => setTimeout(() => socket.resetAndDestroy(), 20),
      ),
  ],
  [
    'a body that breaks',
    (socket) =>
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n${'x'.repeat(70_000)}`, () =>
        socket.resetAndDestroy(),
      ),
  ],
  [
    'a body that breaks, and when it is gone on with, the bytes of another range, which break as well',
    (socket, asked) => {
      const [head, bytes] = /^range:/im.test(asked)
        ? ['HTTP/1.1 206 P\r\ncontent-range: bytes 5-199999/200000\r\ncontent-length: 199995', 3]
        : ['HTTP/1.1 200 OK\r\ncontent-length: 200000', 70_000]
      socket.write(`${head}\r\n\r\n${'x'.repeat(bytes)}`)
      setTimeout(() => socket.resetAndDestroy(), 50)
    },
  ],
  [
    'an error whose body breaks',
    (socket) =>
      socket.write('HTTP/1.1 503 No\r\ncontent-length: 200000\r\n\r\nxx', () => socket.resetAndDestroy()),
  ],
  [
    'no HTTP, and headers that cannot be passed on',
    (socket) => socket.end('HTTP/1.1 200 OK\r\nx: \x01\x02\r\ncontent-length: 0\r\n\r\n'),
  ],
  [
    'an upgrade',
    (socket) =>
      socket.write('HTTP/1.1 101 S\r\nconnection: Upgrade\r\nupgrade: x\r\n\r\n', () =>
        socket.resetAndDestroy(),
      ),
  ],
]

describe('what an agent asks for', () => {
  const stack = new AsyncDisposableStack()
  afterAll(() => stack.disposeAsync())

  /** An agent whose seeder resolves a blob and answers for its bytes with what a test likes. */
  async function agentOf(seederUrl: string): Promise<Node> {
    const folder = stack.use(await temporaryFolder('resets-agent'))
    const host = `127.0.0.1:${await freePort()}`
    const process = stack.use(
      await startShoal([
        ...['agent', '--seeder', seederUrl, '--cache', folder.path, '--forward-pushes', 'true'],
        ...['--listen', host, '--peer-listen', '127.0.0.1:0'],
      ]),
    )
    return { host, url: `http://${host}`, process } as Node
  }

  const statuses = [200, 204, 302, 404, 416, 500, 503]
  it(`is a range, and the answer is ${statuses.join(', ')}: the agent goes on`, async () => {
    const blobs = new Map(
      statuses.map((status) => {
        const blob = testBlob(200_000, status, pieceLengthFor(200_000))
        return [blob.metainfo.digest as string, { status, blob }]
      }),
    )
    const stub = stack.use(
      await startStub(({ path }, response) => {
        const asked = new URL(path, 'http://x')
        const { status, blob } =
          blobs.get(asked.searchParams.get('blob') ?? asked.pathname.split('/').at(-1)!) ?? {}
        if (path === '/readyz') response.end(READY)
        else if (blob === undefined) response.writeHead(404).end()
        else if (asked.pathname === '/api/v1/resolve') {
          response.writeHead(200, { 'content-type': 'application/vnd.shoal.resolution.v1+msgpack' })
          const resolved = { info: encodeInfo(blob.metainfo), peers: [] }
          response.end(encodeResolution({ manifests: [], blobs: [resolved] }))
        } else response.writeHead(status!).end(status === 204 ? '' : blob.bytes)
      }),
    )
    const agent = await agentOf(stub.url)
    const gone = new AbortController()
    const pulls = [...blobs.keys()].map((digest) =>
      fetch(`${agent.url}/v2/team/app/blobs/${digest}`, { signal: gone.signal })
        .then((answer) => answer.arrayBuffer())
        .catch(() => {}),
    )
    for (const digest of blobs.keys())
      await agent.process.waitForLine(
        (line) => line.includes('"source-failed"') && line.includes(digest),
        20_000,
      )
    gone.abort()
    await Promise.all(pulls)
    await expectAlive(agent)
  })

  it('is answered by somebody who breaks off at every stage: pulls, pushes and the stream', async () => {
    const agents = await Promise.all(
      brokenAnswers.map(async ([what, answers]) => ({
        what,
        agent: await agentOf(stack.use(await breaking(answers)).url),
      })),
    )
    const asks = [
      ['/v2/team/app/manifests/1', {}],
      [`/v2/team/app/blobs/${layer.digest}`, {}],
      [`/v2/team/app/blobs/${layer.digest}`, { method: 'HEAD' }],
      ['/v2/team/app/tags/list', {}],
      [`/v2/team/app/referrers/${layer.digest}`, {}],
      ['/v2/team/app/blobs/uploads/', { method: 'POST' }],
      ['/v2/team/app/blobs/uploads/x', { method: 'PATCH', body: 'x'.repeat(100_000) }],
      ['/v2/team/app/manifests/1', { method: 'PUT', body: '{}' }],
    ] as const
    for (const { what, agent } of agents) {
      await Promise.all(
        asks.map(([path, init]) =>
          fetch(`${agent.url}${path}`, init)
            .then((answer) => answer.arrayBuffer())
            .catch(() => {}),
        ),
      )
      expect(agent.process.hasExited, `after ${what}: ${agent.process.lines.at(-1)}`).toBe(false)
      await expectAlive(agent)
    }
  })

  it('is dialled, and the peer breaks off at every stage', async () => {
    const blob = testBlob(200_000, 5, pieceLengthFor(200_000))
    const infoHash = createHash('sha1').update(encodeInfo(blob.metainfo)).digest('hex')
    const hello = Buffer.from(
      encodeHandshake({ infoHash, peerId: '99'.repeat(20), hasFast: true, hasExtensions: true }),
    )
    const haveAll = Buffer.from([0, 0, 0, 1, 0x0e, 0, 0, 0, 1, 1])
    const half = Buffer.from([0, 0, 0x40, 9, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3])
    const peers = await Promise.all(
      [
        Buffer.alloc(0),
        hello.subarray(0, 30),
        hello,
        Buffer.concat([hello, haveAll]),
        Buffer.concat([hello, haveAll, half]),
      ].map(async (bytes) =>
        stack.use(await breaking((socket) => socket.write(bytes, () => socket.resetAndDestroy()))),
      ),
    )
    const stub = stack.use(
      await startStub(({ path }, response) => {
        if (path === '/readyz') return void response.end(READY)
        if (!path.startsWith('/api/v1/resolve')) return void response.writeHead(503).end()
        response.writeHead(200, { 'content-type': 'application/vnd.shoal.resolution.v1+msgpack' })
        const told = peers.map(({ host }, n) => ({
          peerId: `${n}9`.repeat(20),
          host: '127.0.0.1',
          port: Number(host.split(':')[1]),
          role: 'agent' as const,
        }))
        const resolved = { info: encodeInfo(blob.metainfo), peers: told }
        response.end(encodeResolution({ manifests: [], blobs: [resolved] }))
      }),
    )
    const agent = await agentOf(stub.url)
    const gone = new AbortController()
    const pulling = fetch(`${agent.url}/v2/team/app/blobs/${blob.metainfo.digest}`, { signal: gone.signal })
      .then((answer) => answer.arrayBuffer())
      .catch(() => {})
    await agent.process.waitForLine((line) => line.includes('"source-failed"'), 20_000)
    gone.abort()
    await pulling
    await expectAlive(agent)
  })
})

describe('what a seeder asks other registries for', () => {
  it('is answered by those who break off at every stage, and the seeder goes on', async () => {
    await using stack = new AsyncDisposableStack()
    const upstreams = await Promise.all(
      brokenAnswers.map(async ([what, answers], n) => {
        const { url } = stack.use(await breaking(answers))
        return { what, host: `broken-${n}.example`, url }
      }),
    )
    const entries = upstreams.map(({ host, url }) => `${host}=${url}`).join(',')
    const cluster = stack.use(await startCluster({ agents: 0, seederArgs: ['--upstreams', entries] }))
    const { url, process } = cluster.seeder
    await Promise.all(
      upstreams.flatMap(({ host, what }) =>
        [
          'manifests/1',
          `manifests/${image.manifest.digest}`,
          `blobs/${layer.digest}`,
          'tags/list',
          `referrers/${layer.digest}`,
        ].map(async (path) => {
          const signal = AbortSignal.timeout(8_000)
          await fetch(`${url}/v2/${host}/app/${path}`, { signal })
            .then((answer) => answer.arrayBuffer())
            .catch(() => {})
          expect(process.hasExited, `after ${what}: ${process.lines.at(-1)}`).toBe(false)
        }),
      ),
    )
    await expectAlive(cluster.seeder)
  })
})
