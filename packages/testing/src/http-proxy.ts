/**
 * A small HTTP proxy: tunnels for CONNECT, whole URLs otherwise. It alone knows the names, so that what arrives behind it has
 * come through it.
 */
import { request as ask, createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

export interface TestProxy extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** `CONNECT host:port`, or `GET http://host:port/path`. */
  readonly asked: string[]
  /** What it was shown as `Proxy-Authorization`. */
  readonly shown: (string | undefined)[]
}

export interface TestProxyInit {
  /** Where names lead, `host:port` to `host:port`; what is not among them does not resolve. */
  readonly names: Readonly<Record<string, string>>
  /** `user:password` that it wants; anybody may come otherwise. */
  readonly login?: string
  /** Takes connections and says nothing. */
  readonly isSilent?: boolean
}

export async function startTestProxy(init: TestProxyInit): Promise<TestProxy> {
  const asked: string[] = []
  const shown: (string | undefined)[] = []
  const sockets = new Set<Socket>()
  const wanted = init.login && `Basic ${Buffer.from(init.login).toString('base64')}`
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    const given = request.headers['proxy-authorization']
    shown.push(given)
    if (init.isSilent) return
    if (given !== wanted) return void response.writeHead(407).end()
    const url = new URL(request.url ?? '')
    const [host, port] = (init.names[url.host] ?? '').split(':')
    if (!host) return void response.writeHead(502).end()
    const { 'proxy-authorization': _, ...headers } = request.headers
    const passed = ask(
      { host, port, path: `${url.pathname}${url.search}`, method: request.method, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers)
        answer.pipe(response)
      },
    )
    passed.on('error', () => response.destroy())
    request.pipe(passed)
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
  })
  server.on('connect', (request, client: Socket) => {
    asked.push(`CONNECT ${request.url}`)
    const given = request.headers['proxy-authorization']
    shown.push(given)
    if (init.isSilent) return
    if (given !== wanted) return void client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    const [host, port] = (init.names[request.url ?? ''] ?? '').split(':')
    if (!host) return void client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
    const target = connect({ host, port: Number(port) }, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      target.pipe(client)
      client.pipe(target)
    })
    sockets.add(target)
    target.on('error', () => client.destroy()).on('close', () => client.destroy())
    client.on('close', () => target.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    shown,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
