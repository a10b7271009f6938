/** HTTP as no client would send it: bytes on a socket, and what comes back until it closes. */
import { connect, type Socket } from 'node:net'

export interface RawExchange {
  readonly socket: Socket
  readonly text: string
  /** Milliseconds from the connection to its end; rejects after `timeoutMs`. */
  closed(timeoutMs: number): Promise<number>
  write(bytes: string | Uint8Array): void
}

export interface RawAnswer {
  readonly status: number
  readonly headers: string
  readonly body: string
}

/** @param url whose host and port are meant */
export function openRaw(url: string, first: string | Uint8Array = '', localAddress?: string): RawExchange {
  const { hostname, port } = new URL(url)
  const begunAtMs = performance.now()
  const socket = connect({
    host: hostname,
    port: Number(port),
    ...(localAddress === undefined ? {} : { localAddress }),
  })
  const ended = Promise.withResolvers<number>()
  const exchange = {
    socket,
    text: '',
    write: (bytes: string | Uint8Array) => {
      if (!socket.destroyed) socket.write(bytes)
    },
    closed: (timeoutMs: number) => {
      const late = Promise.withResolvers<never>()
      const timer = setTimeout(() => {
        socket.destroy()
        late.reject(new Error(`still open after ${timeoutMs} ms; heard ${exchange.text.slice(0, 200)}`))
      }, timeoutMs)
      return Promise.race([ended.promise, late.promise]).finally(() => clearTimeout(timer))
    },
  }
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    exchange.text += chunk.toString('latin1')
  })
  socket.once('close', () => ended.resolve(performance.now() - begunAtMs))
  if (first.length > 0) socket.write(first)
  return exchange
}

/** One request, sent as it is written, on a connection of its own. */
export async function rawRequest(
  url: string,
  method: string,
  target: string,
  headers: Readonly<Record<string, string>> = {},
  body = '',
): Promise<RawAnswer> {
  const lines = Object.entries({ host: 'x', connection: 'close', ...headers }).map(
    ([name, value]) => `${name}: ${value}`,
  )
  const exchange = openRaw(url, `${method} ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`)
  await exchange.closed(10_000)
  const [head = '', ...rest] = exchange.text.split('\r\n\r\n')
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]),
    headers: head.slice(head.indexOf('\r\n') + 2),
    body: rest.join('\r\n\r\n'),
  }
}
