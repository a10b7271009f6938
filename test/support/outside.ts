/**
 * The way to the internet, closed and watched: a proxy that refuses every connection and keeps whom it was for. A test that
 * hands `environment` to a program written in Go knows that nothing came from the real Docker Hub, on a machine that could
 * reach it too, and that the program notices at once. Loopback addresses never go through a proxy there.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Outside extends AsyncDisposable {
  readonly environment: Readonly<Record<string, string>>
  /** `registry-1.docker.io:443`, in the order in which they were asked for. */
  readonly asked: readonly string[]
}

export async function startOutside(): Promise<Outside> {
  const asked: string[] = []
  const server: Server = createServer((request, response) => {
    asked.push(new URL(request.url ?? '', `http://${request.headers.host}`).host)
    response.writeHead(403).end()
  })
  server.on('connect', ({ url }, socket) => {
    asked.push(url ?? '')
    socket.on('error', () => {})
    socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    environment: { HTTP_PROXY: url, HTTPS_PROXY: url, http_proxy: url, https_proxy: url },
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
