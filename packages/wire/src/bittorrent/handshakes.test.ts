/** Goal: both handshakes survive the wire, and what is not one is refused. Method: round trips, and changed bytes. */
import { asciiBytes, bencode } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameInvalidError, FrameTooLargeError, WireError } from '../errors.ts'
import { decodeExtensionHandshake, encodeExtensionHandshake } from './extension-handshake.ts'
import { decodeHandshake, encodeHandshake, HANDSHAKE_BYTES } from './handshake.ts'

const id = fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('hex'))

describe('the handshake of BEP 3', () => {
  it('survives the wire', () => {
    const handshake = fc.record({
      infoHash: id,
      peerId: id,
      hasFast: fc.boolean(),
      hasExtensions: fc.boolean(),
    })
    fc.assert(
      fc.property(handshake, (given) => {
        const bytes = encodeHandshake(given)
        expect(bytes).toHaveLength(HANDSHAKE_BYTES)
        expect(decodeHandshake(bytes)).toEqual(given)
      }),
    )
  })

  it('sets the bits where others look for them', () => {
    const bytes = encodeHandshake({
      infoHash: 'aa'.repeat(20),
      peerId: 'bb'.repeat(20),
      hasFast: true,
      hasExtensions: true,
    })
    expect(Buffer.from(bytes.subarray(0, 28)).toString('latin1')).toBe(
      '\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04',
    )
  })

  it('refuses another protocol', () => {
    const bytes = Buffer.alloc(HANDSHAKE_BYTES, 'GET / HTTP/1.1\r\n')
    expect(() => decodeHandshake(bytes)).toThrow(FrameInvalidError)
    bytes[0] = 19
    expect(() => decodeHandshake(bytes)).toThrow(FrameInvalidError)
  })
})

describe('the extension handshake of BEP 10', () => {
  it('survives the wire', () => {
    const given = {
      requestsMax: 512,
      shoal: { blockBytesMax: 4_194_304, ticket: new Uint8Array([1, 2]), isSource: true, zone: 'süd-1' },
    }
    expect(decodeExtensionHandshake(encodeExtensionHandshake(given))).toEqual(given)
    expect(decodeExtensionHandshake(encodeExtensionHandshake({}))).toEqual({})
  })

  it('takes those of other clients', () => {
    const others = bencode({
      m: { ut_pex: 1 },
      reqq: 250,
      v: asciiBytes('libtorrent'),
      yourip: new Uint8Array(4),
    })
    expect(decodeExtensionHandshake(others)).toEqual({ requestsMax: 250 })
  })

  it('speaks to a Shoal of another version as to a standard client', () => {
    const later = bencode({ shoal: { version: 2, block: 5 } })
    expect(decodeExtensionHandshake(later)).toEqual({})
  })

  it.each([
    ['no dictionary', bencode([1])],
    ['no bencoding', asciiBytes('hello')],
    [
      'blocks shorter than the standard',
      bencode({ shoal: { version: 1, block: 100, ticket: new Uint8Array() } }),
    ],
    ['a ticket that is a number', bencode({ shoal: { version: 1, block: 16384, ticket: 5 } })],
    ['a ticket too long', bencode({ shoal: { version: 1, block: 16384, ticket: new Uint8Array(5000) } })],
  ])('refuses %s', (_, bytes) => {
    expect(() => decodeExtensionHandshake(bytes)).toThrow(FrameInvalidError)
  })

  it('refuses one that is too long, and raises nothing but wire errors', () => {
    expect(() => decodeExtensionHandshake(new Uint8Array(20_000))).toThrow(FrameTooLargeError)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          decodeExtensionHandshake(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }),
    )
  })
})
