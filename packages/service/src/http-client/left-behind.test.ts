/**
 * Goal: whatever a server or a proxy does, a request ends, its connection is free again, and what it was to send is let go; a
 * certificate is checked for the host that was asked.
 * Method: servers that speak raw TCP and do one wrong thing each; one connection a host, so that a second request tells whether
 * the first has left anything behind.
 */
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { createSecureContext } from 'node:tls'
import { startTestProxy } from '@shoal/testing/http-proxy'
import { selfSignedCertificate } from '@shoal/testing/self-signed-certificate'
import { startStub } from '@shoal/testing/stub-server'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { discardAnswer } from './answer.ts'
import { HttpClientClosedError, HttpNoAnswerError } from './errors.ts'
import { HttpClient, type HttpClientInit } from './http-client.ts'

/** So long that no test sees it: whatever ends has another reason. */
const LATE_MS = 60_000
const EMPTY = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'

let stack: AsyncDisposableStack
beforeEach(() => {
  stack = new AsyncDisposableStack()
})
afterEach(() => stack.disposeAsync())

function client(init: Partial<HttpClientInit> = {}): HttpClient {
  const limits = { connectTimeoutMs: LATE_MS, headersTimeoutMs: LATE_MS, bodyIdleTimeoutMs: LATE_MS }
  return stack.adopt(new HttpClient({ ...limits, connectionsMax: 1, ...init }), (made) => made.close())
}

/** @returns its URL */
async function serve(onConnection: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    onConnection(socket)
  })
  return `http://127.0.0.1:${await listening(server)}/`
}

async function listening(server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stack.defer(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise<void>((resolve) => server.close(() => resolve()))
  })
  return (server.address() as AddressInfo).port
}

function endless(): Readable {
  return new Readable({
    read() {
      this.push(Buffer.alloc(64 * 1024))
    },
  })
}

describe('a request', () => {
  it('fails when the server goes over to another protocol that nobody asked for', async () => {
    const upgrade = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n'
    const url = await serve((socket) => socket.once('data', () => socket.write(upgrade)))
    const asking = client()
    await expect(asking.request(url)).rejects.toThrow(HttpNoAnswerError)
    await expect(asking.request(url)).rejects.toThrow(HttpNoAnswerError)
  })

  it('whose answer is read while its body still waits to be sent gives the connection back', async () => {
    const url = await serve((socket) =>
      socket.once('data', (part) => {
        if (part.toString('latin1').startsWith('PUT')) socket.pause()
        socket.write(EMPTY.replace('200 OK', '401 Unauthorized'))
      }),
    )
    const asking = client()
    const body = endless()
    const headers = { 'content-length': String(2 ** 40) }
    await discardAnswer(await asking.request(url, { method: 'PUT', headers, body }))
    await discardAnswer(await asking.request(url))
    expect(body.destroyed).toBe(true)
  })

  it.each([
    ['was given up before', { signal: AbortSignal.abort(new Error('given up')) }],
    ['has a header that cannot be written', { headers: { name: 'two\nlines' } }],
  ])('that %s lets go of its body', async (_, init) => {
    const body = endless()
    await expect(client().request('http://127.0.0.1:1/', { method: 'PUT', body, ...init })).rejects.toThrow()
    expect(body.destroyed).toBe(true)
  })
})

describe('a tunnel', () => {
  it('to an address leads to whoever has a certificate for it', async () => {
    const tls = selfSignedCertificate()
    const secureContext = createSecureContext({ ca: tls.cert })
    const answers = async (address: string) => {
      const server = stack.use(await startStub((_, response) => void response.end(), { tls, address }))
      const proxy = stack.use(await startTestProxy({ names: { [server.host]: server.host } }))
      const answer = await client({ secureContext, proxy: proxy.url }).request(server.url)
      await discardAnswer(answer)
      return answer.status
    }
    expect(await answers('127.0.0.2')).toBe(200)
    // The certificate is good for `localhost` too, which is not who was asked.
    await expect(answers('127.0.0.3')).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' }),
    )
  })

  it('that the proxy does not open is not waited for by a request that was given up, nor by a client that closes', async () => {
    const proxy = stack.use(await startTestProxy({ names: {}, isSilent: true }))
    const asking = client({ proxy: proxy.url, connectionsMax: 2 })
    const stopping = new AbortController()
    const givenUp = asking.request('https://registry.test/', { signal: stopping.signal })
    const cut = asking.request('https://registry.test/')
    await vi.waitFor(() => expect(proxy.asked).toHaveLength(2))
    stopping.abort(new Error('given up'))
    await expect(givenUp).rejects.toThrow('given up')
    await asking.close()
    await expect(cut).rejects.toThrow(HttpClientClosedError)
  })

  it.each([
    ['resets', (socket: Socket) => socket.resetAndDestroy()],
    ['ends', (socket: Socket) => socket.end()],
  ])('that %s in the middle of the handshake is an error', async (_, close) => {
    const proxy = createHttpServer()
    proxy.on('connect', (_request, socket: Socket) => {
      socket.on('error', () => {}).once('data', () => close(socket))
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
    })
    const asking = client({ proxy: `http://127.0.0.1:${await listening(proxy)}` })
    await expect(asking.request('https://registry.test/')).rejects.toMatchObject({ code: 'ECONNRESET' })
  })
})
