/**
 * Goal: whatever answers where agent, seeder or image should be is taken for what it is, in bounded time.
 * Method: stubs on loopback that answer wrongly, slowly or not at all.
 */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { doctorImage } from '@shoal/oci'
import type { HttpClient } from '@shoal/service'
import type { AgentStatus } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { answerJson, type Question, type SeederStub, startSeederStub } from '../testing/seeder-stub.ts'
import { connectionsTo } from './ask.ts'
import { testPull } from './checks/test-pull.ts'
import { lookAtAgent } from './look-at-agent.ts'
import { lookAtSeeder } from './look-at-seeder.ts'
import { surroundings } from './surroundings.ts'

let stub: SeederStub
let connections: HttpClient
beforeEach(async () => {
  stub = await startSeederStub()
  connections = connectionsTo()
})
afterEach(async () => {
  await connections.close()
  await stub[Symbol.asyncDispose]()
})
const portOf = (url: string) => Number(new URL(url).port)

const status: AgentStatus = {
  service: 'agent',
  version: '1',
  name: 'n',
  zone: '',
  listen: '127.0.0.1:1',
  peerListen: '127.0.0.1:2',
  seeder: 'http://a',
  uptimeMs: 1,
  announceStream: { isOpen: true, forMs: 1 },
  cache: { folder: '/c', usedBytes: 0, maxBytes: 1 },
}

describe('the agent', () => {
  const look = () => lookAtAgent({ host: '127.0.0.1', port: portOf(stub.url) }, connections)

  test('is known by its status', async () => {
    stub.answer = answerJson(200, { ...status, newer: true })
    expect(await look()).toMatchObject({ kind: 'answered', status })
  })

  test('is asked by loopback where it listens everywhere', async () => {
    stub.answer = answerJson(200, status)
    expect(await lookAtAgent({ host: '0.0.0.0', port: portOf(stub.url) }, connections)).toMatchObject({
      kind: 'answered',
    })
  })

  test.each<[string, SeederStub['answer'], object]>([
    ['JSON that is no status', answerJson(200, { hello: 1 }), { kind: 'stranger' }],
    ['text', (_question, response) => response.end('<html>'), { kind: 'stranger' }],
    [
      'more than it may be',
      (_question, response) => response.end('x'.repeat(100_000)),
      { kind: 'stranger', problem: 'TOO_LONG' },
    ],
    ['a refusal of strangers', answerJson(403, { code: 'NOT_LOCAL' }), { kind: 'refused' }],
    ['some other refusal', answerJson(403, {}), { kind: 'stranger' }],
    ['another server’s 404', answerJson(404, {}), { kind: 'stranger', problem: 'HTTP 404' }],
    [
      'a seeder',
      either('/readyz', { status: 'ready', service: 'seeder' }),
      { kind: 'other', service: 'seeder' },
    ],
    ['an older agent', either('/readyz', { status: 'ready' }), { kind: 'other', service: 'older' }],
  ])('%s is not', async (_what, answer, expected) => {
    stub.answer = answer
    expect(await look()).toMatchObject(expected)
  })

  test('is not what says nothing, speaks no HTTP, or is not there', async () => {
    for (const [speak, problem] of [
      [() => {}, 'TIMEOUT'],
      [(socket: Socket) => socket.end('SSH-2.0-OpenSSH\r\n\r\n'), 'NO_HTTP'],
    ] as const) {
      await using server = await rawServer(speak)
      const sight = await lookAtAgent({ host: '127.0.0.1', port: server.port }, connections)
      expect(sight).toMatchObject({
        kind: 'stranger',
        problem,
      })
    }
    let port = 0
    {
      await using server = await rawServer(() => {})
      port = server.port
    }
    expect(await lookAtAgent({ host: '127.0.0.1', port }, connections)).toMatchObject({ kind: 'closed' })
  })
})

describe('the seeder', () => {
  const never = async () => {
    throw new Error('an address needs no resolver')
  }

  test('is known by what it says, and its clock by the header', async () => {
    stub.answer = (_question, response) =>
      response
        .writeHead(200, { date: 'Mon, 04 May 2026 00:00:00 GMT' })
        .end(JSON.stringify({ status: 'ready', service: 'seeder', version: '9' }))
    expect(await lookAtSeeder(stub.url, never)).toMatchObject({
      kind: 'answered',
      isReady: true,
      service: 'seeder',
      version: '9',
      clock: { theirsMs: Date.UTC(2026, 4, 4) },
    })
  })

  test('says what is wrong with it, in bounds', async () => {
    const problems = ['the origin is gone', 7, 'x'.repeat(2_000)]
    stub.answer = answerJson(503, { status: 'not-ready', service: 'seeder', problems, warnings: ['full'] })
    expect(await lookAtSeeder(stub.url, never)).toMatchObject({
      isReady: false,
      complaints: ['the origin is gone', 'x'.repeat(512), 'full'],
    })
  })

  test('is asked at the addresses that were found for its name', async () => {
    stub.answer = answerJson(200, { status: 'ready' })
    const url = `http://seeder.test:${portOf(stub.url)}`
    const found = { addresses: [{ address: '127.0.0.1', family: 4 }] }
    expect(await lookAtSeeder(url, async () => found)).toMatchObject({
      kind: 'answered',
      address: '127.0.0.1',
    })
    expect(stub.questions[0]?.headers.host).toBe(`seeder.test:${portOf(stub.url)}`)
  })

  test.each([{ problem: 'ENOTFOUND' }, { problem: 'TIMEOUT' }, { addresses: [] }])(
    'is not found: %j',
    async (answer) => {
      expect(await lookAtSeeder('http://seeder.test:7000', async () => answer)).toMatchObject({
        kind: 'unresolved',
      })
    },
  )

  test('is away', async () => {
    const url = stub.url
    await stub[Symbol.asyncDispose]()
    expect(await lookAtSeeder(url, never)).toMatchObject({ kind: 'unreachable', problem: 'ECONNREFUSED' })
    stub = await startSeederStub()
  })

  test('hangs', async () => {
    stub.answer = () => {}
    expect(await lookAtSeeder(stub.url, never)).toMatchObject({ kind: 'unreachable', problem: 'TIMEOUT' })
  })

  test('says no time, or none that can be read', async () => {
    stub.answer = (_question, response) => response.writeHead(200, { date: 'soon' }).end('{}')
    expect(await lookAtSeeder(stub.url, never)).toMatchObject({ isReady: false, clock: undefined })
  })
})

describe('the test pull', () => {
  const image = doctorImage()
  /** The image as it is, unless a path is answered otherwise. */
  const agentWith =
    (
      other: Partial<
        Record<'manifest' | 'config' | 'layer' | 'metrics', (response: ServerResponse) => void>
      > = {},
    ) =>
    ({ line }: Question, response: ServerResponse) => {
      const contents = { manifest: image.manifest, config: image.blobs[0]!, layer: image.blobs[1]! }
      for (const [name, { digest, bytes }] of Object.entries(contents)) {
        const path = name === 'manifest' ? '/manifests/1' : `/blobs/${digest}`
        if (!line.endsWith(path)) continue
        const answer = other[name as keyof typeof other]
        return answer === undefined ? response.end(bytes) : answer(response)
      }
      if (line.endsWith('/metrics') && other.metrics !== undefined) return other.metrics(response)
      response.writeHead(404).end()
    }

  test('is well when every byte is', async () => {
    stub.answer = agentWith()
    const found = await testPull(stub.url, connections)
    expect(found).toMatchObject({ outcome: 'ok', measured: { bytes: 67_748 } })
    expect(found.message).toContain('not known')
  })

  test('tells where the bytes came from, as far as the counters do', async () => {
    let peerBytes = 1_000
    stub.answer = agentWith({
      metrics: (response) => {
        const samples = { peer: peerBytes, seeder: 5, origin: 0, upstream: 0 }
        peerBytes += 65_536
        response.end(
          Object.entries(samples)
            .map(([source, value]) => `shoal_agent_received_bytes_total{source="${source}"} ${value}\n`)
            .join(''),
        )
      },
    })
    const found = await testPull(stub.url, connections)
    expect(found.message).toMatch(/every digest right; 64 KiB from other agents$/)
    expect(found.measured.received).toEqual({ peer: 65_536, seeder: 0, origin: 0, upstream: 0 })
  })

  test.each<[string, Parameters<typeof agentWith>[0], RegExp]>([
    [
      'no such manifest',
      { manifest: (response) => response.writeHead(404).end('{"errors":[{"message":"manifest unknown"}]}') },
      /404.*manifest unknown/,
    ],
    ['another image', { manifest: (response) => response.end('{}') }, /instead of/],
    [
      'a byte that is wrong',
      { layer: (response) => response.end(Buffer.from(image.blobs[1]!.bytes).fill(1, 9, 10)) },
      /instead of/,
    ],
    [
      'a layer cut short',
      { layer: (response) => response.end(image.blobs[1]!.bytes.subarray(1)) },
      /instead of/,
    ],
    ['a layer without end', { layer: (response) => response.end(Buffer.alloc(2 * 1024 ** 2)) }, /TOO_LONG/],
    ['a connection that is cut', { config: (response) => response.destroy() }, /did not give/],
    ['an error in place of a blob', { config: (response) => response.writeHead(500).end('oops') }, /500/],
  ])('fails for %s', async (_what, other, message) => {
    stub.answer = agentWith(other)
    const found = await testPull(stub.url, connections)
    expect(found.outcome).toBe('failure')
    expect(found.message).toMatch(message)
    expect(found.advice).toBeDefined()
  })
})

describe('where this runs', () => {
  const at =
    (...paths: string[]) =>
    (path: string) =>
      paths.includes(path)

  test.each<[string, Record<string, string>, string[], object]>([
    ['a host', {}, [], { isInContainer: false, isInPod: false, hostRoot: '/', isHostVisible: true }],
    [
      'a container of Docker',
      {},
      ['/.dockerenv'],
      { isInContainer: true, isInPod: false, isHostVisible: false },
    ],
    ['a container of podman', { container: 'oci' }, [], { isInContainer: true, isHostVisible: false }],
    [
      'a pod',
      { KUBERNETES_SERVICE_HOST: '10.0.0.1' },
      [],
      { isInContainer: true, isInPod: true, isHostVisible: false },
    ],
    [
      'a pod that has the host mounted',
      { KUBERNETES_SERVICE_HOST: '10.0.0.1' },
      ['/host/var/lib/shoal/client'],
      { hostRoot: '/host', isHostVisible: true },
    ],
    [
      'a pod that has the records mounted',
      { KUBERNETES_SERVICE_HOST: '10.0.0.1' },
      ['/var/lib/shoal/client'],
      { hostRoot: '/', isHostVisible: true },
    ],
  ])('%s', (_what, variables, paths, expected) => {
    expect(surroundings(variables, at(...paths))).toMatchObject(expected)
  })
})

/** Answers one path well and every other with 404, as Shoal's services do. */
function either(path: string, value: object): SeederStub['answer'] {
  return (question, response) =>
    question.line === `GET ${path}`
      ? answerJson(200, value)(question, response)
      : answerJson(404, { code: 'NOT_FOUND' })(question, response)
}

async function rawServer(speak: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    speak(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
