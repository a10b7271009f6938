/**
 * The messages between two peers of a swarm and their bytes: BEP 3 ("peer messages"), BEP 6 (fast extension), the envelope
 * of BEP 10. A message is a length of four bytes, an id of one, and what belongs to it, all big-endian. Pure.
 */
import { assert } from '@shoal/core'

/** Everything but `piece`, whose block never passes through as a message: see `PeerWireDecoder`. */
export type PeerMessage =
  | { readonly kind: 'keep-alive' }
  | { readonly kind: 'choke' }
  | { readonly kind: 'unchoke' }
  | { readonly kind: 'interested' }
  | { readonly kind: 'not-interested' }
  | { readonly kind: 'have'; readonly index: number }
  /** BEP 3's bytes: the high bit of the first is piece 0. */
  | { readonly kind: 'bitfield'; readonly bytes: Uint8Array }
  | ({ readonly kind: 'request' } & Block)
  | ({ readonly kind: 'cancel' } & Block)
  | { readonly kind: 'suggest'; readonly index: number }
  | { readonly kind: 'have-all' }
  | { readonly kind: 'have-none' }
  | ({ readonly kind: 'reject' } & Block)
  | { readonly kind: 'allowed-fast'; readonly index: number }
  /** Id 0 is the extension handshake. */
  | { readonly kind: 'extended'; readonly id: number; readonly payload: Uint8Array }

/** A part of a piece: `length` bytes from byte `begin` of piece `index`. */
export interface Block {
  readonly index: number
  readonly begin: number
  readonly length: number
}

export function isSameBlock(a: Block, b: Block): boolean {
  return a.index === b.index && a.begin === b.begin && a.length === b.length
}

export const MESSAGE_IDS = {
  choke: 0,
  unchoke: 1,
  interested: 2,
  'not-interested': 3,
  have: 4,
  bitfield: 5,
  request: 6,
  piece: 7,
  cancel: 8,
  suggest: 13,
  'have-all': 14,
  'have-none': 15,
  reject: 16,
  'allowed-fast': 17,
  extended: 20,
} as const

/** Length and id of a message, index and begin of a `piece`; its block follows. */
export const PIECE_HEADER_BYTES = 13

export function encodePeerMessage(message: PeerMessage): Uint8Array {
  switch (message.kind) {
    case 'keep-alive':
      return new Uint8Array(4)
    case 'have':
    case 'suggest':
    case 'allowed-fast':
      return frame(MESSAGE_IDS[message.kind], [message.index])
    case 'request':
    case 'cancel':
    case 'reject':
      return frame(MESSAGE_IDS[message.kind], [message.index, message.begin, message.length])
    case 'bitfield':
      return frame(MESSAGE_IDS.bitfield, [], message.bytes)
    case 'extended': {
      const payload = new Uint8Array(1 + message.payload.length)
      payload[0] = message.id
      payload.set(message.payload, 1)
      return frame(MESSAGE_IDS.extended, [], payload)
    }
    default:
      return frame(MESSAGE_IDS[message.kind], [])
  }
}

/** What precedes a block of `length` bytes. */
export function encodePieceHeader({ index, begin, length }: Block): Uint8Array {
  const bytes = new Uint8Array(PIECE_HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, PIECE_HEADER_BYTES - 4 + length)
  bytes[4] = MESSAGE_IDS.piece
  view.setUint32(5, index)
  view.setUint32(9, begin)
  return bytes
}

function frame(id: number, numbers: readonly number[], payload?: Uint8Array): Uint8Array {
  const length = 1 + numbers.length * 4 + (payload?.length ?? 0)
  const bytes = new Uint8Array(4 + length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, length)
  bytes[4] = id
  for (const [position, number] of numbers.entries()) {
    assert(number >= 0 && number <= 0xffff_ffff, 'a number on the wire has 32 bits')
    view.setUint32(5 + position * 4, number)
  }
  if (payload !== undefined) bytes.set(payload, 5 + numbers.length * 4)
  return bytes
}
