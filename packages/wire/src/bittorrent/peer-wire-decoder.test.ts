/**
 * Goal: whatever a peer sends, in whatever parts, is understood or refused with an error of the family, and nothing is
 * allocated for a mere claim. Method: messages by fast-check, cut at every place, read directly and fed; random bytes; and
 * the frames that hostile peers are known to send.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameInvalidError, FrameTooLargeError, WireError } from '../errors.ts'
import {
  type Block,
  encodePeerMessage,
  encodePieceHeader,
  MESSAGE_IDS,
  type PeerMessage,
} from './peer-messages.ts'
import { PeerWireDecoder, type PeerWireLimits } from './peer-wire-decoder.ts'

const LIMITS: PeerWireLimits = {
  blockBytesMax: 64 * 1024,
  bitfieldBytesMax: 32,
  extendedBytesMax: 16 * 1024,
}

type Heard = PeerMessage | { kind: 'block'; block: Block; bytes: Buffer }

function listener(options: { limits?: PeerWireLimits; isWanted?: (block: Block) => boolean } = {}) {
  const heard: Heard[] = []
  let room = Buffer.alloc(0)
  const decoder = new PeerWireDecoder({
    limits: options.limits ?? LIMITS,
    staging: new Uint8Array(512),
    handler: {
      onMessage: (message) => heard.push(message),
      onBlockBegin: (block) => {
        room = Buffer.alloc(block.length)
        return options.isWanted?.(block) ?? true
      },
      // In pages of 5,000 bytes, as a buffer pool has it.
      blockTarget: (_block, offset) => room.subarray(offset, (Math.floor(offset / 5000) + 1) * 5000),
      onBlockEnd: (block) => heard.push({ kind: 'block', block, bytes: room }),
    },
  })
  return { decoder, heard }
}

/** Reads as a socket does: into the target, at most what is there and what `take` allows. */
function readDirectly(decoder: PeerWireDecoder, bytes: Uint8Array, take: () => number): void {
  for (let at = 0; at < bytes.length; ) {
    const target = decoder.target()
    const part = bytes.subarray(at, at + Math.min(target.length, take()))
    target.set(part)
    decoder.wrote(part.length)
    at += part.length
  }
}

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff })
const block = fc.record({ index: uint32, begin: uint32, length: uint32 })
const message: fc.Arbitrary<PeerMessage> = fc.oneof(
  fc.constantFrom<PeerMessage>(
    { kind: 'keep-alive' },
    { kind: 'choke' },
    { kind: 'unchoke' },
    { kind: 'interested' },
    { kind: 'not-interested' },
    { kind: 'have-all' },
    { kind: 'have-none' },
  ),
  fc.record({ kind: fc.constantFrom('have', 'suggest', 'allowed-fast'), index: uint32 }),
  fc
    .tuple(fc.constantFrom('request' as const, 'cancel' as const, 'reject' as const), block)
    .map(([kind, some]) => ({ kind, ...some })),
  fc.record({ kind: fc.constant('bitfield' as const), bytes: fc.uint8Array({ maxLength: 32 }) }),
  fc.record({
    kind: fc.constant('extended' as const),
    id: fc.integer({ min: 0, max: 255 }),
    payload: fc.uint8Array({ maxLength: 900 }),
  }),
)
const piece = fc
  .tuple(uint32, uint32, fc.uint8Array({ minLength: 1, maxLength: 20_000 }))
  .map(([index, begin, bytes]) => ({
    kind: 'block' as const,
    block: { index, begin, length: bytes.length },
    bytes: Buffer.from(bytes),
  }))

const encoded = (item: Heard) =>
  item.kind === 'block' ? Buffer.concat([encodePieceHeader(item.block), item.bytes]) : encodePeerMessage(item)

describe('PeerWireDecoder', () => {
  it('understands what was encoded, wherever it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(message, piece), { maxLength: 12 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 3000 })),
        fc.boolean(),
        (items, cuts, isDirect) => {
          const bytes = Buffer.concat(items.map(encoded))
          const { decoder, heard } = listener()
          const take = () => cuts.next().value!
          if (isDirect) readDirectly(decoder, bytes, take)
          else
            for (let at = 0; at < bytes.length; ) {
              const count = take()
              decoder.feed(bytes.subarray(at, at + count))
              at += count
            }
          expect(heard).toEqual(items)
        },
      ),
    )
  })

  it('understands one message cut at every place', () => {
    const items: Heard[] = [
      { kind: 'keep-alive' },
      { kind: 'request', index: 1, begin: 2, length: 3 },
      { kind: 'block', block: { index: 7, begin: 0, length: 9 }, bytes: Buffer.from('nine byte') },
      { kind: 'keep-alive' },
      { kind: 'have-all' },
    ]
    const bytes = Buffer.concat(items.map(encoded))
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { decoder, heard } = listener()
      decoder.feed(bytes.subarray(0, cut))
      decoder.feed(bytes.subarray(cut))
      expect(heard).toEqual(items)
    }
  })

  it('raises nothing but wire errors on random bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (parts) => {
        const { decoder } = listener()
        try {
          for (const part of parts) decoder.feed(part)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('raises nothing but wire errors on valid messages with some bytes changed', () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }))
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 6 }),
        fc.array(change, { minLength: 1, maxLength: 4 }),
        (items, changes) => {
          const bytes = Buffer.concat(items.map(encoded))
          for (const [at, to] of changes) bytes[at % bytes.length] = to
          const { decoder } = listener()
          try {
            readDirectly(decoder, bytes, () => 7)
          } catch (error) {
            expect(error).toBeInstanceOf(WireError)
          }
        },
      ),
      { numRuns: 1_000 },
    )
  })

  it('skips a block that is not wanted, and hears what follows', () => {
    const { decoder, heard } = listener({ isWanted: ({ index }) => index !== 3 })
    const unwanted = { index: 3, begin: 0, length: 10_000 }
    readDirectly(
      decoder,
      Buffer.concat([
        encodePieceHeader(unwanted),
        Buffer.alloc(10_000, 1),
        encodePeerMessage({ kind: 'unchoke' }),
      ]),
      () => 700,
    )
    expect(heard).toEqual([{ kind: 'unchoke' }])
  })

  it('skips the rest of a block that is abandoned on its way', () => {
    const { decoder, heard } = listener()
    decoder.feed(encodePieceHeader({ index: 3, begin: 0, length: 10_000 }))
    decoder.feed(new Uint8Array(4_000))
    expect(decoder.currentBlock?.index).toBe(3)
    decoder.abandonBlock()
    readDirectly(
      decoder,
      Buffer.concat([Buffer.alloc(6_000), encodePeerMessage({ kind: 'choke' })]),
      () => 5_000,
    )
    expect(heard).toEqual([{ kind: 'choke' }])
  })

  it('passes messages by that it does not know', () => {
    const { decoder, heard } = listener()
    decoder.feed(Buffer.from([0, 0, 0, 3, 9, 26, 225])) // "port", of the DHT
    decoder.feed(Buffer.from([0, 0, 0, 1, 99]))
    decoder.feed(encodePeerMessage({ kind: 'choke' }))
    expect(heard).toEqual([{ kind: 'choke' }])
  })

  const claim = (length: number, id: number) => {
    const frame = Buffer.alloc(5)
    frame.writeUInt32BE(length)
    frame[4] = id
    return frame
  }

  it.each([
    ['a block of 4 GiB', claim(0xffff_ffff, MESSAGE_IDS.piece)],
    ['a block one byte too long', claim(9 + LIMITS.blockBytesMax + 1, MESSAGE_IDS.piece)],
    [
      'a bitfield for more pieces than there are',
      claim(1 + LIMITS.bitfieldBytesMax + 1, MESSAGE_IDS.bitfield),
    ],
    ['an extended message of 1 GiB', claim(2 ** 30, MESSAGE_IDS.extended)],
    ['an unknown message of 1 GiB', claim(2 ** 30, 77)],
    ['a request with bytes to spare', claim(14, MESSAGE_IDS.request)],
    ['a choke with a body', claim(2, MESSAGE_IDS.choke)],
  ])('refuses %s when only its length is here', (_, frame) => {
    expect(() => listener().decoder.feed(frame)).toThrow(FrameTooLargeError)
  })

  it('takes a block of exactly the longest length', () => {
    const { decoder, heard } = listener()
    decoder.feed(encodePieceHeader({ index: 0, begin: 0, length: LIMITS.blockBytesMax }))
    decoder.feed(new Uint8Array(LIMITS.blockBytesMax))
    expect(heard).toHaveLength(1)
  })

  it.each([
    ['a piece without its numbers', claim(8, MESSAGE_IDS.piece)],
    ['a piece without a byte of its block', claim(9, MESSAGE_IDS.piece)],
    ['a have without its number', claim(1, MESSAGE_IDS.have)],
    ['a have that is cut short', Buffer.from([0, 0, 0, 3, MESSAGE_IDS.have, 1, 2])],
    ['an extended message without its id', claim(1, MESSAGE_IDS.extended)],
  ])('refuses %s', (_, frame) => {
    expect(() => listener().decoder.feed(frame)).toThrow(FrameInvalidError)
  })
})
