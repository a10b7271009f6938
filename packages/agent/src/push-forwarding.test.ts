/**
 * Goal: a push to a node is a push to the seeder: every byte, nothing held in memory, and whatever goes wrong on one side is
 * seen on the other.
 * Method: the hook on a real server in front of a seeder that is slow, refuses, or is away; requests byte by byte where the
 * client library would hide something.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { registryPlugin, registryRouting } from '@shoal/registry'
import { createHttpServer } from '@shoal/service'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { PushForwarding } from './push-forwarding.ts'

const log = pino({ level: 'silent' })
const MIB = 1024 * 1024
const UPLOADS = '/v2/team/app/blobs/uploads/'
const DIGEST = `sha256:${'ab'.repeat(32)}`

interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
}

let seen: Seen[]
let answer: (request: IncomingMessage, response: ServerResponse) => void
let closers: (() => Promise<unknown>)[]
let agentUrl: string
let agentPort: number

beforeEach(async () => {
  seen = []
  closers = []
  answer = (message, response) => {
    message.resume().on('end', () => response.writeHead(202, { location: `${UPLOADS}1` }).end())
  }
  agentUrl = await startAgent(await startSeeder())
  agentPort = Number(new URL(agentUrl).port)
})
afterEach(async () => {
  for (const close of closers.reverse()) await close()
})

async function startSeeder(): Promise<string> {
  const server = createServer((message, response) => {
    const { method = '', url = '', headers } = message
    seen.push({ method, url, headers })
    answer(message, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** The agent's own routes know nothing: what they answer was not forwarded. */
async function startAgent(seederUrl: string): Promise<string> {
  const forwarding = new PushForwarding({ log }, { seederUrl })
  closers.push(() => forwarding.stop())
  const server = createHttpServer(log, { routing: registryRouting })
  forwarding.register(server)
  await server.register(registryPlugin, {
    backend: {
      tags: async () => undefined,
      hasRepository: async () => false,
      manifest: async () => undefined,
      blobStat: async () => undefined,
      referrers: async () => ({ referrers: [] }),
      async *readBlob() {},
    },
  })
  const url = await server.listen({ host: '127.0.0.1', port: 0 })
  closers.push(() => server.close())
  return url
}

const ask = (method: string, path: string, init: RequestInit = {}) =>
  fetch(`${agentUrl}${path}`, { method, redirect: 'manual', ...init })
const forwarded = () => seen.map(({ method, url }) => `${method} ${url}`)

/** Opens a connection to the agent and sends the text as it is. */
async function send(text: string): Promise<{ socket: Socket; received: () => string }> {
  const socket = connect(agentPort, '127.0.0.1')
  closers.push(async () => socket.destroy())
  let received = ''
  socket.setEncoding('latin1').on('data', (chunk) => {
    received += chunk
  })
  socket.on('error', () => {})
  await new Promise<void>((resolve) => socket.once('connect', resolve))
  socket.write(text)
  return { socket, received: () => received }
}

describe('what is part of a push', () => {
  it.each([
    ['POST', UPLOADS],
    ['POST', `${UPLOADS}?mount=${DIGEST}&from=team/other`],
    ['POST', '/v2/team/app/blobs/uploads/?ns=registry.test:5000'],
    ['PATCH', `${UPLOADS}1`],
    ['PUT', `${UPLOADS}1?digest=${DIGEST}`],
    ['GET', `${UPLOADS}1`],
    ['DELETE', `${UPLOADS}1`],
    ['HEAD', `/v2/team/app/blobs/${DIGEST}`],
    ['HEAD', `/v2/team/app/blobs/${DIGEST}?ns=registry.test`],
    ['PUT', '/v2/team/app/manifests/1'],
  ])('%s %s goes to the seeder as it is', async (method, path) => {
    await ask(method, path)
    expect(forwarded()).toEqual([`${method} ${path}`])
  })

  it.each([
    ['GET', '/v2/'],
    ['GET', `/v2/team/app/blobs/${DIGEST}`],
    ['GET', '/v2/team/app/manifests/1'],
    ['GET', `/v2/team/app/manifests/${DIGEST}`],
    ['HEAD', '/v2/team/app/manifests/1'],
    ['GET', '/v2/team/app/tags/list'],
    ['GET', `/v2/team/app/referrers/${DIGEST}`],
    // What every node may pull, no node may take away.
    ['DELETE', '/v2/team/app/manifests/1'],
    ['DELETE', `/v2/team/app/manifests/${DIGEST}`],
    ['DELETE', `/v2/team/app/blobs/${DIGEST}`],
    ['GET', '/healthz'],
    ['POST', '/api/v1/publish'],
    ['POST', '/v2x/team/app/blobs/uploads/'],
  ])('%s %s is none', async (method, path) => {
    await ask(method, path)
    expect(seen).toEqual([])
  })

  it.each([
    ['POST', '/v2/../api/v1/publish'],
    ['POST', '/v2/%2e%2e/api/v1/events'],
    ['GET', '/v2/../blobs/uploads/1'],
    ['DELETE', '/v2/team/../../metrics'],
    ['POST', '/v2/..\\api/v1/gc'],
  ])('%s %s leads nowhere else', async (method, path) => {
    const { received } = await send(`${method} ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n`)
    await vi.waitFor(() => expect(received()).toMatch(/^HTTP\/1\.1 \d{3}/))
    expect(seen).toEqual([])
  })
})

describe('an answer', () => {
  it('is passed on as it is: status, headers, body', async () => {
    answer = (_message, response) =>
      response
        .writeHead(400, { 'content-type': 'application/json', 'oci-subject': DIGEST, range: '0-5' })
        .end('{"errors":[]}')
    const passed = await ask('PUT', '/v2/team/app/manifests/1')
    expect(passed.status).toBe(400)
    expect(await passed.text()).toBe('{"errors":[]}')
    expect(Object.fromEntries(passed.headers)).toMatchObject({
      'content-type': 'application/json',
      'oci-subject': DIGEST,
      range: '0-5',
    })
  })

  it.each([
    [202, `${UPLOADS}1?state=x`],
    [201, `/v2/team/app/blobs/${DIGEST}`],
    [307, 'https://elsewhere.test/v2/team/app/blobs/uploads/1'],
    [308, '/v2/other/'],
  ])('of %d with a Location is not followed', async (status, location) => {
    answer = (message, response) =>
      message.resume().on('end', () => response.writeHead(status, { location }).end())
    const passed = await ask('POST', UPLOADS)
    expect(passed.status).toBe(status)
    expect(passed.headers.get('location')).toBe(location)
    expect(seen).toHaveLength(1)
  })

  it('to a HEAD keeps the length that it speaks of', async () => {
    answer = (_message, response) => response.writeHead(200, { 'content-length': 12_345 }).end()
    const passed = await ask('HEAD', `/v2/team/app/blobs/${DIGEST}`)
    expect([passed.status, passed.headers.get('content-length')]).toEqual([200, '12345'])
  })

  it('that breaks off is seen to break off', async () => {
    answer = (_message, response) => {
      response.writeHead(200, { 'content-length': 1_000 }).write('half')
      setImmediate(() => response.destroy())
    }
    await expect(ask('PUT', `${UPLOADS}1`).then((passed) => passed.text())).rejects.toThrow()
    answer = (_message, response) => response.writeHead(204).end()
    expect((await ask('DELETE', `${UPLOADS}1`)).status).toBe(204)
  })

  it('that comes before the body was read reaches the client whole', async () => {
    const reasons = 'x'.repeat(MIB)
    answer = (_message, response) => response.writeHead(403, { 'content-length': MIB }).end(reasons)
    const head = `PATCH ${UPLOADS}1 HTTP/1.1\r\nhost: a\r\ncontent-length: ${64 * MIB}\r\n\r\n`
    const { received } = await send(head + 'x'.repeat(MIB))
    await vi.waitFor(() => expect(received().length).toBeGreaterThan(MIB), 5_000)
    expect(received()).toMatch(/^HTTP\/1\.1 403 /)
    expect(received().endsWith(`\r\n\r\n${reasons}`)).toBe(true)
  })
})

describe('headers', () => {
  it('of the connection stay with the connection, both ways; all others go on', async () => {
    answer = (message, response) =>
      message.resume().on('end', () =>
        response
          .writeHead(202, {
            connection: 'x-of-the-seeder',
            'x-of-the-seeder': '1',
            'keep-alive': 'timeout=777',
            'docker-upload-uuid': '1',
            'set-cookie': ['a=1', 'b=2'],
          })
          .end(),
      )
    const head = [
      `PATCH ${UPLOADS}1 HTTP/1.1`,
      'host: localhost:6000',
      'connection: keep-alive, X-Of-The-Client',
      'x-of-the-client: 1',
      'keep-alive: timeout=5',
      'te: trailers',
      'proxy-authorization: Basic secret',
      'authorization: Basic abc',
      'content-type: application/octet-stream',
      'content-range: 0-3',
      'user-agent: test',
      'content-length: 4',
    ]
    const { received } = await send(`${head.join('\r\n')}\r\n\r\nbody`)
    await vi.waitFor(() => expect(received()).toContain('\r\n\r\n'))
    const { headers } = seen[0]!
    expect(headers).toMatchObject({
      authorization: 'Basic abc',
      'content-type': 'application/octet-stream',
      'content-range': '0-3',
      'content-length': '4',
      'user-agent': 'test',
    })
    for (const name of ['x-of-the-client', 'te', 'proxy-authorization'])
      expect(Object.keys(headers)).not.toContain(name)
    expect(headers.host).not.toBe('localhost:6000')
    expect(received()).toMatch(/^docker-upload-uuid: 1\r$/im)
    expect(received()).toMatch(/^set-cookie: b=2\r$/im)
    expect(received()).not.toMatch(/x-of-the-seeder|timeout=777/i)
  })

  it('that say how a body comes belong to the next connection', async () => {
    const bodies: string[] = []
    answer = (message, response) => {
      let text = ''
      message.on('data', (chunk) => {
        text += chunk
      })
      message.on('end', () => {
        bodies.push(text)
        response.writeHead(202).end()
      })
    }
    await ask('PATCH', `${UPLOADS}1`, {
      body: new ReadableStream({
        start(controller) {
          controller.enqueue(Buffer.from('one '))
          controller.enqueue(Buffer.from('two'))
          controller.close()
        },
      }),
      duplex: 'half',
    } as RequestInit)
    await ask('PATCH', `${UPLOADS}1`, { body: 'whole' })
    await ask('POST', UPLOADS)
    expect(bodies).toEqual(['one two', 'whole', ''])
    // One of both, never both: what is here whole when it is passed on may be given a length.
    for (const { headers } of seen)
      expect([headers['transfer-encoding'], headers['content-length']]).toContain(undefined)
    expect(seen.slice(1).map(({ headers }) => headers['content-length'])).toEqual(['5', '0'])
  })

  it('Expect: 100-continue is answered here, and the body follows', async () => {
    const head = `PUT ${UPLOADS}1 HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n`
    const { socket, received } = await send(head)
    await vi.waitFor(() => expect(received()).toMatch(/^HTTP\/1\.1 100 Continue\r\n/))
    socket.write('body')
    await vi.waitFor(() => expect(received()).toContain('HTTP/1.1 202'))
    expect(seen[0]!.headers.expect).toBeUndefined()
  })
})

describe('a body', () => {
  it('of any length is passed on as fast as the seeder takes it, and not held meanwhile', async () => {
    const go = Promise.withResolvers<void>()
    let taken = 0
    answer = (message, response) => {
      message.pause()
      void go.promise.then(() =>
        message
          .on('data', (chunk: Buffer) => {
            taken += chunk.length
          })
          .on('end', () => response.writeHead(202).end())
          .resume(),
      )
    }
    const total = 192 * MIB
    const chunk = Buffer.alloc(MIB)
    let sent = 0
    const status = new Promise<number>((resolve, reject) => {
      const asking = request(
        `${agentUrl}${UPLOADS}1`,
        { method: 'PATCH', headers: { 'content-length': total } },
        (passed) => {
          passed.resume()
          resolve(passed.statusCode!)
        },
      )
      asking.on('error', reject)
      const write = () => {
        while (sent < total) {
          sent += chunk.length
          if (!asking.write(chunk)) {
            asking.once('drain', write)
            return
          }
        }
        asking.end()
      }
      write()
    })
    await vi.waitFor(() => expect(seen).toHaveLength(1))
    // What the sockets of the system hold, until nothing moves any more: the seeder has taken nothing yet.
    let before = -1
    await vi.waitFor(
      () => {
        const isStill = sent === before
        before = sent
        expect(isStill).toBe(true)
      },
      { interval: 100, timeout: 10_000 },
    )
    expect(taken).toBe(0)
    expect(sent).toBeLessThan(64 * MIB)
    go.resolve()
    expect(await status).toBe(202)
    expect(taken).toBe(total)
  })

  it('whose client leaves is cut at the seeder as well', async () => {
    const cut = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    answer = (message) => {
      message.on('error', () => {})
      message.once('data', () => begun.resolve())
      message.once('close', () => cut.resolve())
    }
    const { socket } = await send(`PATCH ${UPLOADS}1 HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhalf`)
    await begun.promise
    socket.destroy()
    await cut.promise
    // The next finds everything in order.
    answer = (message, response) => message.resume().on('end', () => response.writeHead(202).end())
    expect((await ask('POST', UPLOADS)).status).toBe(202)
  })

  it('whose client leaves while the seeder thinks is cut as well', async () => {
    const cut = Promise.withResolvers<void>()
    answer = (message, response) => {
      message.resume()
      response.once('close', () => cut.resolve())
    }
    const { socket } = await send(`PUT ${UPLOADS}1 HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody`)
    await vi.waitFor(() => expect(seen).toHaveLength(1))
    socket.destroy()
    await cut.promise
  })
})

describe('a seeder that is away', () => {
  it('is 503 with a body that clients of registries understand, and pulls go on', async () => {
    agentUrl = await startAgent('http://127.0.0.1:1')
    for (const [method, path] of [
      ['POST', UPLOADS],
      ['PUT', '/v2/team/app/manifests/1'],
      ['DELETE', `${UPLOADS}1`],
    ] as const) {
      const refused = await ask(method, path)
      expect(refused.status).toBe(503)
      expect(refused.headers.get('content-type')).toMatch(/^application\/json/)
      expect(await refused.json()).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
    }
    expect((await ask('HEAD', `/v2/team/app/blobs/${DIGEST}`)).status).toBe(404)
    expect((await ask('GET', '/v2/')).status).toBe(200)
  })

  it('or goes away in the middle of a body, is 503', async () => {
    answer = (message) => {
      message.once('data', () => message.socket.destroy())
    }
    const refused = await ask('PATCH', `${UPLOADS}1`, { body: 'x'.repeat(1_000) })
    expect(refused.status).toBe(503)
    expect(await refused.json()).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] })
  })
})
