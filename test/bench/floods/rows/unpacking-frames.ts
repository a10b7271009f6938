/** Frames of 4 MiB of MessagePack that unpack to many times their size, sent before anybody has said hello. */
import { ANNOUNCE_STREAM_PATH } from '@shoal/wire'
import { WebSocket } from 'ws'
import { type FloodRow, floodAddress, pause } from '../row.ts'

const STREAMS = 16
/** Whatever is the limit: that is who is flooded's business. */
const FRAME_BYTES = 4 * 1024 * 1024
const ARRAY_32 = 0xdd
const EMPTY_MAP = 0x80

/** An array of empty maps: a byte each here, and some dozens of bytes each as objects. */
export function unpackingFrame(bytes = FRAME_BYTES): Uint8Array {
  const frame = new Uint8Array(bytes).fill(EMPTY_MAP)
  frame[0] = ARRAY_32
  new DataView(frame.buffer).setUint32(1, bytes - 5)
  return frame
}

export const unpackingFrames: FloodRow = {
  name: '16 frames of 4 MiB that unpack to many times their size',
  async flood(target, signal) {
    const frame = unpackingFrame()
    const send = async (n: number) => {
      while (!signal.aborted) {
        const socket = new WebSocket(`${target.url.replace('http', 'ws')}${ANNOUNCE_STREAM_PATH}`, {
          localAddress: floodAddress(target, n),
          perMessageDeflate: false,
        })
        socket.on('error', () => {})
        socket.once('open', () => socket.send(frame))
        await new Promise<void>((resolve) => {
          socket.once('close', () => resolve())
          signal.addEventListener('abort', () => socket.terminate(), { once: true })
        })
        // Each is one of sixteen: a new one comes when the last was answered.
        await pause(1_000, signal)
      }
    }
    await Promise.all(Array.from({ length: STREAMS }, (_, n) => send(n)))
  },
}
