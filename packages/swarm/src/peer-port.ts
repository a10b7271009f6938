/**
 * One port for two protocols: BitTorrent opens with byte 19 (the length of its name, BEP 3), HTTP with a letter.
 * Who says nothing within a short time, or anything else, is cut off. Who asks whether this peer is here is told so.
 */
import type { Socket } from 'node:net'
import type { PeerId } from '@shoal/core'
import { encodeProbe, isProbeFor } from '@shoal/wire'

const FIRST_BYTE_TIMEOUT_MS = 10_000
/** For who was told to read it and close. */
const PROBE_END_TIMEOUT_MS = 2_000
const BITTORRENT_FIRST_BYTE = 19

export function routeByFirstByte(
  socket: Socket,
  ownId: PeerId,
  handlers: {
    readonly bittorrent: (socket: Socket) => void
    readonly other?: ((socket: Socket) => void) | undefined
  },
): void {
  const onError = () => socket.destroy()
  const timer = setTimeout(() => socket.destroy(), FIRST_BYTE_TIMEOUT_MS)
  socket.once('close', () => clearTimeout(timer))
  socket.once('error', onError)
  socket.once('readable', () => {
    clearTimeout(timer)
    const head: Buffer | null = socket.read()
    if (head === null) return
    // Shoal's peers write a probe in one packet; one that comes in parts gets no answer.
    if (isProbeFor(ownId, head)) {
      socket.setTimeout(PROBE_END_TIMEOUT_MS, () => socket.destroy())
      socket.resume().end(encodeProbe(ownId, ownId))
      return
    }
    const handler = head[0] === BITTORRENT_FIRST_BYTE ? handlers.bittorrent : handlers.other
    if (handler === undefined) {
      socket.destroy()
      return
    }
    socket.removeListener('error', onError)
    handler(socket)
    // The handler has its listeners by now, and sees the bytes that were looked at, too.
    socket.unshift(head)
  })
}
