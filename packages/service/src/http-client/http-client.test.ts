/**
 * Goal: whoever asks a server waits for nothing without an end, holds no more connections than it may, and learns what went wrong.
 * Method: servers on loopback that hold, trickle, cut and close.
 */
import { once } from 'node:events'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { discardAnswer, readShortBody } from './answer.ts'
import { isTransportFailure } from './errors.ts'
import { HttpClient, type HttpClientInit } from './http-client.ts'

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

async function serve(listener: RequestListener): Promise<{ url: string; server: Server }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.defer(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server }
}

function clientOf(init: Partial<HttpClientInit> = {}): HttpClient {
  const limits = { connectTimeoutMs: 5_000, headersTimeoutMs: 5_000, bodyIdleTimeoutMs: 5_000 }
  const client = new HttpClient({ ...limits, ...init })
  stack.defer(() => client.close())
  return client
}

const codeOf = (asked: Promise<unknown>) =>
  asked.then(
    () => 'none',
    (error: { code?: string }) => error.code,
  )

describe('connections', () => {
  it('are as many as they may be, kept, and given to who waits in order; who leaves is not asked for', async () => {
    const held: [string, ServerResponse][] = []
    const { url, server } = await serve(({ url: path }, response) => void held.push([path ?? '', response]))
    let connections = 0
    server.on('connection', () => connections++)
    const client = clientOf({ connectionsMax: 2 })
    const leaving = new AbortController()
    const asked = ['a', 'b', 'c', 'd', 'e'].map((path) =>
      client.request(new URL(path, url), path === 'c' ? { signal: leaving.signal } : {}).then(discardAnswer),
    )
    await expect.poll(() => held.length).toBe(2)
    leaving.abort(new Error('left'))
    await expect(asked[2]).rejects.toThrow('left')
    for (let n = 0; n < 4; n++) {
      await expect.poll(() => held.length).toBeGreaterThan(n)
      held[n]![1].end('x')
    }
    await Promise.all(asked.toSpliced(2, 1))
    expect(held.map(([path]) => path)).toEqual(['/a', '/b', '/d', '/e'])
    expect(connections).toBe(2)
  })

  it('that the server closed as a question was on its way: it is asked again, unless it brings something', async () => {
    let asked = 0
    const { url } = await serve((request, response) => {
      // Every second request of a connection finds it closed.
      if (++asked % 2 === 0) request.socket.destroy()
      else request.resume().on('end', () => response.end('x'))
    })
    const client = clientOf({ connectionsMax: 1 })
    await discardAnswer(await client.request(url))
    expect((await readShortBody(await client.request(url), 10))?.toString()).toBe('x')
    expect(asked).toBe(3)
    const push = client.request(url, { method: 'PUT', body: Readable.from(['blob']) })
    expect(await codeOf(push)).toBe('ECONNRESET')
    expect(asked).toBe(4)
  })

  it('end what is under way and what waits when the client is closed', async () => {
    const { url } = await serve(() => {})
    const client = clientOf({ connectionsMax: 1 })
    const asked = [1, 2, 3].map(() => codeOf(client.request(url)))
    await client.close()
    expect(await Promise.all([...asked, codeOf(client.request(url))])).toEqual(
      Array(4).fill('HTTP_CLIENT_CLOSED'),
    )
  })
})

describe('a server that', () => {
  it('says nothing', async () => {
    const { url } = await serve(() => {})
    expect(await codeOf(clientOf({ headersTimeoutMs: 100 }).request(url))).toBe('HTTP_HEADERS_TIMEOUT')
  })

  it('drips its headers', async () => {
    const server = createTcpServer((socket) => {
      const drip = setInterval(() => socket.write('x'), 20)
      socket.on('error', () => {}).on('close', () => clearInterval(drip))
      socket.write('HTTP/1.1 200 OK\r\nx: ')
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    stack.defer(() => void server.close())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    expect(await codeOf(clientOf({ headersTimeoutMs: 200 }).request(url))).toBe('HTTP_HEADERS_TIMEOUT')
  })

  it('stands still in the middle of a body', async () => {
    const { url } = await serve((_, response) => void response.writeHead(200).write('x'))
    const answer = await clientOf({ bodyIdleTimeoutMs: 100 }).request(url)
    expect(await codeOf(readShortBody(answer, 10))).toBe('HTTP_BODY_TIMEOUT')
  })

  it('is faster than who reads is not to blame', async () => {
    const { url } = await serve((_, response) => void response.end(Buffer.alloc(1024 * 1024)))
    const answer = await clientOf({ bodyIdleTimeoutMs: 20 }).request(url)
    // Several of its limits go by before anybody reads.
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect((await readShortBody(answer, 2 ** 21))?.length).toBe(2 ** 20)
  })

  it('cuts a body, or is not there: failures of the connection, which a bug is not', async () => {
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': 2 }).write('x')
      setImmediate(() => response.destroy())
    })
    const cut = readShortBody(await clientOf().request(url), 10).catch((error: unknown) => error)
    expect(isTransportFailure(await cut)).toBe(true)
    const gone = createServer().listen(0, '127.0.0.1')
    await once(gone, 'listening')
    const { port } = gone.address() as AddressInfo
    await new Promise((resolve) => gone.close(resolve))
    const refused = clientOf().request(`http://127.0.0.1:${port}/`)
    expect(isTransportFailure(await refused.catch((error: unknown) => error))).toBe(true)
    expect(isTransportFailure(new TypeError('x is not a function'))).toBe(false)
    expect(
      isTransportFailure(
        await clientOf()
          .request('no URL')
          .catch((error: unknown) => error),
      ),
    ).toBe(false)
  })
})

it('what a request’s body fails with is told as it is, and the server is left', async () => {
  const { url } = await serve((request) => void request.on('error', () => {}).resume())
  const reason = new Error('unreadable')
  const broken = Readable.from(
    (async function* () {
      yield 'x'
      throw reason
    })(),
  )
  await expect(clientOf().request(url, { method: 'PUT', body: broken })).rejects.toBe(reason)
})
