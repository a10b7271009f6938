/**
 * Goal: hashing while bytes arrive gives what hashing the whole at once gives, however the bytes are cut.
 * Method: random lengths and cuts against one-shot hashing; the boundaries between piece lengths one byte apart.
 */
import { createHash } from 'node:crypto'
import { blobBytesMaxFor, decodeInfo, encodeInfo, PIECE_LENGTHS_BYTES, pieceLengthFor } from '@shoal/core'
import { patternBytes } from '@shoal/testing/content'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BlobHasher, type HashedBlob } from './blob-hasher.ts'

const KIB = 1024
const source = patternBytes(2_000_000)

function atOnce(bytes: Uint8Array, algorithm: 'sha256' | 'sha512'): HashedBlob {
  const pieceLength = pieceLengthFor(bytes.length)
  const hashPieces = (hash: string) => {
    const parts: Uint8Array[] = []
    for (let offset = 0; offset < bytes.length; offset += pieceLength) {
      parts.push(
        createHash(hash)
          .update(bytes.subarray(offset, offset + pieceLength))
          .digest(),
      )
    }
    return new Uint8Array(Buffer.concat(parts))
  }
  const digest = `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as HashedBlob['digest']
  const metainfo = {
    digest,
    length: bytes.length,
    pieceLength,
    piecesSha1: hashPieces('sha1'),
    piecesSha256: hashPieces('sha256'),
  }
  return { digest, length: bytes.length, metainfo }
}

describe('any blob, cut anywhere', () => {
  test('hashes as it does at once, with its length known or not', () => {
    const cuts = fc.array(fc.integer({ min: 0, max: 700_000 }), { maxLength: 8 })
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: source.length }),
        cuts,
        fc.boolean(),
        fc.constantFrom('sha256' as const, 'sha512' as const),
        (length, cuts, isKnown, algorithm) => {
          const bytes = source.subarray(0, length)
          const hasher = new BlobHasher({ algorithm, ...(isKnown ? { blobBytes: length } : {}) })
          let offset = 0
          for (const cut of [...cuts, length]) {
            hasher.update(bytes.subarray(offset, Math.min(length, offset + cut)))
            offset = Math.min(length, offset + cut)
          }
          hasher.update(bytes.subarray(offset))
          expect(hasher.peek()).toEqual(atOnce(bytes, algorithm))
        },
      ),
      { numRuns: 40 },
    )
  })

  test('the metainfo is one that core accepts', () => {
    for (const length of [0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1]) {
      const hasher = new BlobHasher({ algorithm: 'sha256' })
      hasher.update(source.subarray(0, length))
      const { metainfo } = hasher.peek()!
      expect(decodeInfo(encodeInfo(metainfo))).toEqual(metainfo)
    }
  })
})

describe('the piece length follows from the length', () => {
  const zeros = new Uint8Array(1024 * KIB)
  const hashZeros = (length: number) => {
    const hasher = new BlobHasher({ algorithm: 'sha256' })
    for (let left = length; left > 0; left -= zeros.length)
      hasher.update(zeros.subarray(0, Math.min(left, zeros.length)))
    return hasher
  }

  test('at the bound of the first and one byte beyond', () => {
    const bound = blobBytesMaxFor(PIECE_LENGTHS_BYTES[0])
    const within = hashZeros(bound)
    expect(within.candidateCount).toBe(PIECE_LENGTHS_BYTES.length)
    expect(within.peek()?.metainfo.pieceLength).toBe(PIECE_LENGTHS_BYTES[0])
    const beyond = hashZeros(bound + 1)
    expect(beyond.candidateCount).toBe(PIECE_LENGTHS_BYTES.length - 1)
    expect(beyond.peek()?.metainfo.pieceLength).toBe(PIECE_LENGTHS_BYTES[1])
  })

  test('a length that turns out to be another is told, where it needs another piece length', () => {
    const hasher = new BlobHasher({ algorithm: 'sha256', blobBytes: 2 ** 40 / 4 })
    hasher.update(source)
    expect(hasher.peek()).toBeUndefined()
    const close = new BlobHasher({ algorithm: 'sha256', blobBytes: 5 })
    close.update(source)
    expect(close.peek()).toEqual(atOnce(source, 'sha256'))
  })
})
