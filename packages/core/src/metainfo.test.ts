import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bdecode, bencode } from './bencode.ts'
import { parseDigest } from './digest.ts'
import {
  decodeInfo,
  encodeInfo,
  encodeTorrent,
  type Metainfo,
  MetainfoInvalidError,
  pieceBytes,
  pieceCount,
} from './metainfo.ts'
import { blobBytesMaxFor, PIECE_LENGTHS_BYTES, pieceLengthFor } from './piece-length.ts'

const lengths = fc.oneof(
  fc.nat({ max: 3_000_000 }),
  fc.constantFrom(
    0,
    1,
    256 * 1024,
    256 * 1024 + 1,
    ...PIECE_LENGTHS_BYTES.slice(0, 2).flatMap((p) => [blobBytesMaxFor(p), blobBytesMaxFor(p) + 1]),
  ),
)

function metainfoOf(length: number): Metainfo {
  const pieceLength = pieceLengthFor(length)
  const count = Math.ceil(length / pieceLength)
  const fill = (size: number, seed: number) =>
    Uint8Array.from({ length: size }, (_, i) => (i * 31 + seed) & 0xff)
  return {
    digest: parseDigest(`sha256:${createHash('sha256').update(String(length)).digest('hex')}`),
    length,
    pieceLength,
    piecesSha1: fill(20 * count, 1),
    piecesSha256: fill(32 * count, 2),
  }
}

describe('the piece length', () => {
  it('is the shortest that keeps a blob at 2048 pieces, and the longest beyond', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 40 }), (length) => {
        const chosen = pieceLengthFor(length)
        const shorter = PIECE_LENGTHS_BYTES.filter((candidate) => candidate < chosen)
        for (const candidate of shorter) expect(length).toBeGreaterThan(candidate * 2048)
        if (chosen !== PIECE_LENGTHS_BYTES.at(-1)) expect(length / chosen).toBeLessThanOrEqual(2048)
      }),
    )
  })
})

describe('metainfo', () => {
  it('survives encoding, and always encodes alike', () => {
    fc.assert(
      fc.property(lengths, (length) => {
        const metainfo = metainfoOf(length)
        const info = encodeInfo(metainfo)
        expect(decodeInfo(info)).toEqual(metainfo)
        expect(encodeInfo(decodeInfo(info))).toEqual(info)
      }),
      { numRuns: 30 },
    )
  })

  it('has pieces that add up to the blob', () => {
    fc.assert(
      fc.property(lengths, (length) => {
        const metainfo = metainfoOf(length)
        let sum = 0
        for (let index = 0; index < pieceCount(metainfo); index++) sum += pieceBytes(metainfo, index)
        expect(sum).toBe(length)
      }),
    )
  })

  it('has no pieces for an empty blob', () => {
    expect(pieceCount(metainfoOf(0))).toBe(0)
    expect(decodeInfo(encodeInfo(metainfoOf(0))).length).toBe(0)
  })

  it('puts the info dictionary, byte for byte, into a torrent that standard clients read', () => {
    const metainfo = metainfoOf(1_000_000)
    const torrent = bdecode(encodeTorrent(metainfo, 'http://seeder:7000/announce')) as Record<string, never>
    expect(bencode(torrent.info!)).toEqual(encodeInfo(metainfo))
    expect(Object.keys(torrent)).toEqual(['announce', 'info'])
  })

  const info = bdecode(encodeInfo(metainfoOf(600_000))) as Record<string, never>
  it.each([
    ['no length', { length: undefined }],
    ['a negative length', { length: -1 }],
    ['a piece length that is no rule of ours', { 'piece length': 131_072 }],
    ['the piece length of another size', { 'piece length': 1024 * 1024 }],
    ['too few SHA-1 pieces', { pieces: new Uint8Array(20) }],
    ['too few SHA-256 pieces', { 'shoal.pieces.sha256': new Uint8Array(32) }],
    ['a public torrent', { private: 0 }],
    ['a name that is a path', { name: Uint8Array.from(Buffer.from('../../etc/passwd')) }],
    ['a name of a megabyte', { name: new Uint8Array(1_000_000).fill(0x61) }],
    ['keys of somebody else', { source: 1 }],
    ['a hundred thousand empty lists', { source: new Array(100_000).fill([]) }],
  ])('refuses %s', (_what, change: Record<string, unknown>) => {
    const changed = Object.fromEntries(
      Object.entries({ ...info, ...change }).filter(([, value]) => value !== undefined),
    )
    expect(() => decodeInfo(bencode(changed as never))).toThrow(MetainfoInvalidError)
  })
})
