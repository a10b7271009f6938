/**
 * Asking a peer port who is behind it: BitTorrent's handshake, for a swarm that nobody is in. Pure.
 *
 * The info hash is the complement of the peer's id, so that only who knows the id is answered: whoever scans ports learns
 * nothing. Ids begin with eight bytes that are the same everywhere, so a blob has such an info hash with a chance of 2^-64.
 */
import type { InfoHash, PeerId } from '@shoal/core'
import { FrameInvalidError } from '../errors.ts'
import { decodeHandshake, encodeHandshake, HANDSHAKE_BYTES } from './handshake.ts'

const complementOf = (hex: string) =>
  hex.replace(/./g, (digit) => (15 - Number.parseInt(digit, 16)).toString(16))

/** The swarm that is asked for when it is to be found out whether this peer is there. */
export function probeInfoHash(peerId: PeerId): InfoHash {
  return complementOf(peerId)
}

/** What is said: by who asks with its own id, by who is asked with its own. */
export function encodeProbe(asked: PeerId, speaker: PeerId): Uint8Array {
  return encodeHandshake({
    infoHash: probeInfoHash(asked),
    peerId: speaker,
    hasFast: false,
    hasExtensions: false,
  })
}

/** Whether these are all the first bytes of a connection that asks for `peerId`. */
export function isProbeFor(peerId: PeerId, bytes: Uint8Array): boolean {
  if (bytes.length !== HANDSHAKE_BYTES) return false
  try {
    return decodeHandshake(bytes).infoHash === probeInfoHash(peerId)
  } catch (error) {
    if (error instanceof FrameInvalidError) return false
    throw error
  }
}
