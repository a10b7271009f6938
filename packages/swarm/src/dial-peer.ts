/**
 * Finds out whether a peer is where it says: connects, asks for it by its id (`probe.ts` of wire), and hangs up. Joins no
 * swarm. Bounded in time and bytes; never throws.
 */
import type { MayDial, PeerAddress, PeerId } from '@shoal/core'
import { type DialOutcome, encodeProbe, HANDSHAKE_BYTES } from '@shoal/wire'
import { connectPeer } from './connect-peer.ts'

/** Far more than any round trip inside a cluster. */
const DIAL_TIMEOUT_MS = 2_000

export interface Dialled {
  readonly outcome: DialOutcome
  readonly ms: number
}

/**
 * @param ownId says who asks
 * @param mayDial a peer that is elsewhere is `unreachable` from here
 */
export function dialPeer(
  peer: PeerAddress,
  ownId: PeerId,
  mayDial: MayDial,
  timeoutMs: number = DIAL_TIMEOUT_MS,
): Promise<Dialled> {
  const startedAt = performance.now()
  const { peerId } = peer
  const expected = encodeProbe(peerId, peerId)
  const socket = connectPeer(peer, mayDial)
  if (socket === undefined) return Promise.resolve({ outcome: 'unreachable', ms: 0 })
  return new Promise((resolve) => {
    let heard = Buffer.alloc(0)
    let isConnected = false
    const settle = (outcome: DialOutcome) => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ outcome, ms: Math.round(performance.now() - startedAt) })
    }
    const timer = setTimeout(() => settle(isConnected ? 'stranger' : 'silent'), timeoutMs)
    socket.once('connect', () => {
      isConnected = true
      socket.write(encodeProbe(peerId, ownId))
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // Node may report a reset before the connection that it ends.
      if (isConnected || error.code === 'ECONNRESET') settle('stranger')
      else if (error.code === 'ECONNREFUSED') settle('refused')
      else settle(error.code === 'ETIMEDOUT' ? 'silent' : 'unreachable')
    })
    socket.once('close', () => settle(isConnected ? 'stranger' : 'unreachable'))
    socket.on('data', (chunk: Buffer | string) => {
      heard = Buffer.concat([heard, chunk as Buffer])
      if (heard.length < HANDSHAKE_BYTES) return
      settle(heard.equals(expected) ? 'reached' : 'stranger')
    })
  })
}
