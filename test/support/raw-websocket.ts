/** A WebSocket whose frames can be left unfinished, cut in parts or be of any length: only what the announce stream needs. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawWebSocket extends Disposable {
  readonly socket: Socket
  readonly isClosed: boolean
  /** @param claimedBytes what the frame's header says; as much as there is, unless given */
  sendFrame(payload: Uint8Array, claimedBytes?: number): void
}

const BINARY = 0x82
const MASKED = 0x80

/** @param url `http://host:port` of a service, with the path of its stream */
export async function openRawWebSocket(url: string, localAddress = '127.0.0.1'): Promise<RawWebSocket> {
  const { hostname, port, pathname } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), localAddress })
  socket.on('error', () => {})
  let isClosed = false
  socket.once('close', () => {
    isClosed = true
  })
  const key = randomBytes(16).toString('base64')
  const upgrade = `connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}`
  socket.write(`GET ${pathname} HTTP/1.1\r\nhost: x\r\n${upgrade}\r\n\r\n`)
  await Promise.race([once(socket, 'data'), once(socket, 'close')])
  socket.resume()
  return {
    socket,
    get isClosed() {
      return isClosed
    },
    sendFrame: (payload, claimedBytes = payload.length) => {
      const header = Buffer.alloc(14)
      header[0] = BINARY
      header[1] = MASKED | 127
      header.writeBigUInt64BE(BigInt(claimedBytes), 2)
      // A mask of noughts changes nothing.
      if (!socket.destroyed) socket.write(Buffer.concat([header, payload]))
    },
    [Symbol.dispose]: () => socket.destroy(),
  }
}
