/** WebSocket frames of 3.9 MB whose last byte never comes. */
import { connect } from 'node:net'
import { ANNOUNCE_STREAM_PATH } from '@shoal/wire'
import { type FloodRow, floodAddress, floodPort, keepOpen } from '../row.ts'

const STREAMS = 150
const FRAME_BYTES = 3_900_000
const UPGRADE = [
  `GET ${ANNOUNCE_STREAM_PATH} HTTP/1.1`,
  'Host: x',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  '\r\n',
].join('\r\n')

export const unfinishedFrames: FloodRow = {
  name: '150 WebSocket frames of 3.9 MB that never end',
  async flood(target, signal) {
    // Final, binary, masked with nothing; a length of eight bytes.
    const header = Buffer.from([0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    header.writeUInt32BE(FRAME_BYTES, 6)
    const body = Buffer.alloc(FRAME_BYTES - 1)
    await keepOpen(STREAMS, signal, (n) => {
      const socket = connect({
        host: '127.0.0.1',
        port: floodPort(target),
        localAddress: floodAddress(target, n),
      })
      socket.write(UPGRADE)
      socket.write(header)
      socket.write(body)
      return socket.resume()
    })
  },
}
