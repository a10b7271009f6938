/**
 * A seeder's address through which an agent says that its peer port is another than it is: as one does whose port is closed
 * to others by a firewall or a wrong setting. Everything else passes as it is.
 */
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeAgentMessage, encodeAgentMessage } from '@shoal/wire'
import { WebSocket, WebSocketServer } from 'ws'

export interface MisleadingTracker extends AsyncDisposable {
  readonly url: string
}

/** @param announcedPort what the tracker is told in place of every agent's own */
export async function startMisleadingTracker(
  seederUrl: string,
  announcedPort: number,
): Promise<MisleadingTracker> {
  const sockets = new WebSocketServer({ noServer: true })
  const server = createServer((asked, answer) => {
    const passed = httpRequest(new URL(asked.url ?? '/', seederUrl), {
      method: asked.method,
      headers: asked.headers,
    })
    passed.on('response', (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers)
      response.pipe(answer)
    })
    passed.on('error', () => answer.destroy())
    asked.pipe(passed)
  })
  server.on('upgrade', (request: IncomingMessage, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (agent) => {
      const tracker = new WebSocket(new URL(request.url ?? '/', seederUrl.replace('http', 'ws')))
      const opened = once(tracker, 'open').catch(() => {})
      agent.on('message', async (frame: Buffer) => {
        const message = decodeAgentMessage(frame)
        const told = message.type === 'hello' ? { ...message, port: announcedPort } : message
        await opened
        tracker.send(encodeAgentMessage(told))
      })
      tracker.on('message', (frame) => agent.send(frame))
      for (const [one, other] of [
        [agent, tracker],
        [tracker, agent],
      ] as const) {
        one.on('error', () => {})
        one.on('close', () => other.terminate())
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const agent of sockets.clients) agent.terminate()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
