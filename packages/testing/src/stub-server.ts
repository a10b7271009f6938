/** A web server that does what a test tells it, and remembers what it was asked. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { SelfSignedCertificate } from './self-signed-certificate.ts'

export interface SeenRequest {
  readonly method: string
  /** With the query. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface StubServer extends AsyncDisposable {
  readonly url: string
  /** `127.0.0.1:PORT` */
  readonly host: string
  readonly seen: SeenRequest[]
}

export type StubHandler = (request: SeenRequest, response: ServerResponse) => void | Promise<void>

export async function startStub(
  handle: StubHandler,
  init: { readonly address?: string; readonly tls?: SelfSignedCertificate } = {},
): Promise<StubServer> {
  const { address = '127.0.0.1', tls } = init
  const seen: SeenRequest[] = []
  const listener: RequestListener = async (message, response) => {
    const request = {
      method: message.method ?? '',
      path: message.url ?? '',
      headers: message.headers,
      body: await bodyOf(message),
    }
    seen.push(request)
    await handle(request, response)
  }
  const server =
    tls === undefined ? createServer(listener) : createTlsServer({ cert: tls.cert, key: tls.key }, listener)
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${address}:${port}`,
    host: `${address}:${port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export function answerJson(
  response: ServerResponse,
  status: number,
  document: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = JSON.stringify(document)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  })
  response.end(text)
}

async function bodyOf(message: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of message) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}
