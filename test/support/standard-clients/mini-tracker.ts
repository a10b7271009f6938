/** A tracker that tells whoever announces of the peers that the test names (BEP 3, BEP 23), and of nobody else. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { bencode } from '@shoal/core'

export interface MiniTracker extends AsyncDisposable {
  readonly announceUrl: string
  /** Ports on 127.0.0.1. */
  peers: readonly number[]
}

export async function startMiniTracker(): Promise<MiniTracker> {
  const server = createServer((_request, response) => {
    const compact = Buffer.concat(
      tracker.peers.map((port) => Buffer.from([127, 0, 0, 1, port >> 8, port & 255])),
    )
    response.end(bencode({ interval: 5, 'min interval': 1, peers: compact }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const tracker: MiniTracker = {
    announceUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/announce`,
    peers: [],
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
  return tracker
}
