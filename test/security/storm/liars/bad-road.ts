/**
 * A bad road between an agent and its seeder: a proxy that resets, cuts, delays, answers ranges with other statuses and lengths
 * than it was asked for, and leads to places where the blobs are not. What the pieces' hashes are it leaves alone: the seeder
 * is believed in that.
 */
import { once } from 'node:events'
import { request as ask, createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { createPrng, type Prng } from '@shoal/core'
import { decodeResolution, encodeResolution, RESOLVE_PATH } from '@shoal/wire'
import { pause } from '../attacker.ts'
import { damaged, oneOf } from '../random-messages.ts'

export interface BadRoad extends AsyncDisposable {
  readonly url: string
}

const TUNNEL_MS_MAX = 8_000

export async function startBadRoad(seederUrl: string, seed: number, signal: AbortSignal): Promise<BadRoad> {
  const prng = createPrng(seed)
  const { hostname, port } = new URL(seederUrl)
  const server = createServer((request, response) => {
    response.on('error', () => {})
    request.on('error', () => {})
    if (prng.below(12) === 0) return void request.socket.resetAndDestroy()
    if (request.url?.startsWith('/origin'))
      return void misanswer(response, Buffer.alloc(1_000), request, prng)
    const passed = ask(
      {
        host: hostname,
        port,
        method: request.method,
        path: request.url,
        headers: request.headers,
        agent: false,
      },
      (answer) => void pass(answer, request, response),
    )
    passed.on('error', () => request.socket.destroy())
    request.pipe(passed)
    response.on('close', () => passed.destroy())
  })
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {})
    if (prng.below(4) > 0) return void socket.end('HTTP/1.1 503 Service Unavailable\r\n\r\n')
    const inner = connect(Number(port), hostname)
    inner.on('error', () => {})
    const lines = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`)
    inner.write(`GET ${request.url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
    inner.write(head)
    inner.pipe(socket).pipe(inner)
    const end = () => {
      inner.destroy()
      socket.destroy()
    }
    const timer = setTimeout(end, 1_000 + prng.below(TUNNEL_MS_MAX))
    for (const side of [inner, socket]) side.once('close', end).once('close', () => clearTimeout(timer))
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  async function pass(
    answer: IncomingMessage,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const parts: Buffer[] = []
    try {
      for await (const part of answer) parts.push(part as Buffer)
    } catch {
      return void request.socket.destroy()
    }
    let body: Buffer = Buffer.concat(parts)
    if (prng.below(8) === 0) await pause(prng.below(3_000), signal)
    if (response.destroyed) return
    if (answer.statusCode === 200 && request.url?.startsWith(RESOLVE_PATH)) body = misled(body, url, prng)
    if (request.method !== 'HEAD' && prng.below(3) === 0) return misanswer(response, body, request, prng)
    const { 'content-length': _, 'transfer-encoding': __, ...headers } = answer.headers
    const length = request.method === 'HEAD' ? answer.headers['content-length'] : body.length
    response.writeHead(answer.statusCode ?? 500, {
      ...headers,
      ...(length !== undefined && { 'content-length': length }),
    })
    response.end(body)
  }

  return {
    url,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** The same blobs, without peers, or somewhere else. */
function misled(bytes: Buffer, url: string, prng: Prng): Buffer {
  if (prng.below(4) === 0) return bytes
  const resolution = decodeResolution(bytes)
  const blobs = resolution.blobs.map((blob) => ({
    ...blob,
    peers: prng.below(4) > 0 ? [] : blob.peers,
    ...(prng.below(3) === 0 && {
      originUrl: oneOf([`${url}/origin`, 'http://127.0.0.1:1/', 'no url', 'file:///etc'], prng),
    }),
  }))
  return Buffer.from(encodeResolution({ ...resolution, blobs }))
}

function misanswer(response: ServerResponse, body: Buffer, request: IncomingMessage, prng: Prng): void {
  const whole = { 'content-length': body.length }
  switch (prng.below(7)) {
    case 0:
      response.writeHead(oneOf([200, 204, 302, 304, 403, 404, 416, 429, 500, 503], prng))
      return void response.end(oneOf(['', '{"errors":[{"code":"BLOB_UNKNOWN"}]}'], prng))
    case 1:
      response.writeHead(206, { ...whole, 'content-range': oneOf(['bytes 0-0/1', 'x', 'bytes */5'], prng) })
      return void response.end(body)
    case 2:
      response.writeHead(206, { 'content-length': body.length + 100 })
      response.write(body)
      return void request.socket.resetAndDestroy()
    case 3:
      response.writeHead(206, whole)
      response.write(body.subarray(0, prng.below(body.length + 1)))
      return void request.socket.resetAndDestroy()
    case 4:
      // Longer than what was asked for.
      response.writeHead(206)
      response.write(body)
      return void response.end(body)
    case 5:
      return void request.socket.end('HTTP/1.1 999 \r\nContent-Length: -1\r\n\r\n')
    default:
      // A resolution with other bytes could name other hashes; of everything else they are found out.
      if (request.url?.startsWith(RESOLVE_PATH)) return void request.socket.resetAndDestroy()
      response.writeHead(request.headers.range === undefined ? 200 : 206)
      return void response.end(damaged(body, prng))
  }
}
