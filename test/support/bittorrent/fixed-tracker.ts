/**
 * An HTTP tracker (BEP 3, answers as in BEP 23) that knows one peer, for clients that can be told of peers in no other way.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { bencode } from '@shoal/core'
import { HOST, type PeerEndpoint } from './client.ts'

export interface FixedTracker extends AsyncDisposable {
  readonly announceUrl: string
}

const INTERVAL_SECONDS = 1

export async function startFixedTracker(peer: PeerEndpoint): Promise<FixedTracker> {
  const answer = bencode({ interval: INTERVAL_SECONDS, peers: compact(peer) })
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', connection: 'close' }).end(answer)
  })
  server.listen(0, HOST)
  await once(server, 'listening')
  return {
    announceUrl: `http://${HOST}:${(server.address() as AddressInfo).port}/announce`,
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Four bytes of address, two of port. */
function compact({ host, port }: PeerEndpoint): Buffer {
  const bytes = Buffer.from([...host.split('.').map(Number), 0, 0])
  bytes.writeUInt16BE(port, 4)
  return bytes
}
