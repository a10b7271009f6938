/**
 * Writes the tracker's most frequent message, `peers`, without encoding any peer twice. Pure but for what it remembers.
 *
 * When ten thousand agents come at once each is told of more than a hundred others, and is told to as many: the bytes of a
 * peer are kept with it, and a frame is put together from them.
 */
import type { InfoHash, PeerAddress } from '@shoal/core'
import { encodeMessage } from './msgpack.ts'

export interface SwarmPeers {
  readonly infoHash: InfoHash
  readonly peers: readonly PeerAddress[]
}

/** MessagePack's header of a map with two entries. */
const MAP_OF_2 = Uint8Array.of(0x82)
const INFO_HASH_KEY = encodeMessage('infoHash')
const PEERS_KEY = encodeMessage('peers')
const FRAME_START = concat([MAP_OF_2, ...['type', 'peers', 'swarms'].map(encodeMessage)])

const bytesOfPeers = new WeakMap<PeerAddress, Uint8Array>()

/** @returns a frame that decodes as what `encodeTrackerMessage({ type: 'peers', swarms })` makes does */
export function encodePeersFrame(swarms: readonly SwarmPeers[]): Uint8Array {
  const parts = [FRAME_START, arrayHeader(swarms.length)]
  for (const { infoHash, peers } of swarms) {
    parts.push(MAP_OF_2, INFO_HASH_KEY, encodeMessage(infoHash), PEERS_KEY, arrayHeader(peers.length))
    for (const peer of peers) parts.push(bytesOf(peer))
  }
  return concat(parts)
}

function bytesOf(peer: PeerAddress): Uint8Array {
  let bytes = bytesOfPeers.get(peer)
  if (bytes === undefined) {
    // A copy: what the encoder returns is a view of a block of several KiB.
    bytes = Uint8Array.from(encodeMessage(peer))
    bytesOfPeers.set(peer, bytes)
  }
  return bytes
}

function arrayHeader(length: number): Uint8Array {
  return length < 16 ? Uint8Array.of(0x90 | length) : Uint8Array.of(0xdc, length >> 8, length & 0xff)
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const whole = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}
