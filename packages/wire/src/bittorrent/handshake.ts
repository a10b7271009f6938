/**
 * BitTorrent's first 68 bytes (BEP 3, "handshake"), with the reserved bits of BEP 6 (fast) and BEP 10 (extensions). Pure.
 */
import { fromHex, type InfoHash, type PeerId, toHex } from '@shoal/core'
import { FrameInvalidError } from '../errors.ts'

const PROTOCOL = 'BitTorrent protocol'
const RESERVED_AT = 1 + PROTOCOL.length
const INFO_HASH_AT = RESERVED_AT + 8
const PEER_ID_AT = INFO_HASH_AT + 20
export const HANDSHAKE_BYTES = PEER_ID_AT + 20

/** Byte and bit of the reserved field. */
const EXTENSION_PROTOCOL = { at: RESERVED_AT + 5, bit: 0x10 }
const FAST_EXTENSION = { at: RESERVED_AT + 7, bit: 0x04 }

export interface Handshake {
  readonly infoHash: InfoHash
  readonly peerId: PeerId
  /** BEP 6: have all, have none, reject, allowed fast, suggest. */
  readonly hasFast: boolean
  /** BEP 10: extended messages. */
  readonly hasExtensions: boolean
}

export function encodeHandshake(handshake: Handshake): Uint8Array {
  const bytes = new Uint8Array(HANDSHAKE_BYTES)
  bytes[0] = PROTOCOL.length
  for (let at = 0; at < PROTOCOL.length; at++) bytes[1 + at] = PROTOCOL.charCodeAt(at)
  if (handshake.hasExtensions) bytes[EXTENSION_PROTOCOL.at] = EXTENSION_PROTOCOL.bit
  if (handshake.hasFast) bytes[FAST_EXTENSION.at] = FAST_EXTENSION.bit
  bytes.set(fromHex(handshake.infoHash)!, INFO_HASH_AT)
  bytes.set(fromHex(handshake.peerId)!, PEER_ID_AT)
  return bytes
}

/**
 * @param bytes the first {@link HANDSHAKE_BYTES} of a connection
 * @throws FrameInvalidError when they are of another protocol
 */
export function decodeHandshake(bytes: Uint8Array): Handshake {
  if (bytes.length !== HANDSHAKE_BYTES) throw new FrameInvalidError('a handshake has 68 bytes')
  if (bytes[0] !== PROTOCOL.length) throw new FrameInvalidError('it does not begin like BitTorrent')
  for (let at = 0; at < PROTOCOL.length; at++) {
    if (bytes[1 + at] !== PROTOCOL.charCodeAt(at))
      throw new FrameInvalidError('it does not begin like BitTorrent')
  }
  return {
    infoHash: toHex(bytes.subarray(INFO_HASH_AT, PEER_ID_AT)),
    peerId: toHex(bytes.subarray(PEER_ID_AT)),
    hasFast: (bytes[FAST_EXTENSION.at]! & FAST_EXTENSION.bit) !== 0,
    hasExtensions: (bytes[EXTENSION_PROTOCOL.at]! & EXTENSION_PROTOCOL.bit) !== 0,
  }
}
