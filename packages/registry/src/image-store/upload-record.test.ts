/**
 * Goal: what one seeder wrote down of an upload is what another reads, and nothing else is taken for such a record.
 * Method: random records there and back; records that were changed in one place.
 */
import { createHash } from 'node:crypto'
import { DIGEST_ALGORITHMS, type DigestAlgorithm, PIECE_LENGTHS_BYTES } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BlobHasher, type HashedBlob } from './blob-hasher.ts'
import { StoredRecordInvalidError } from './layout.ts'
import {
  decodeUploadRecord,
  encodeUploadRecord,
  UPLOAD_RECORD_BYTES_MAX,
  type UploadRecord,
} from './upload-record.ts'

const KEY = 'uploads/of-this-test'

function hashedOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): HashedBlob {
  const hasher = new BlobHasher({ algorithm, blobBytes: bytes.length })
  hasher.update(bytes)
  return hasher.peek()!
}

const count = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const algorithm = fc.constantFrom(...DIGEST_ALGORITHMS)
const component = fc.stringMatching(/^[a-z0-9]{1,8}$/)
const repository = fc
  .array(component, { minLength: 1, maxLength: 4 })
  .map((components) => components.join('/'))
// Tokens are the store's own: any text at all.
const checkpoint = fc.record({ bytes: count, token: fc.string({ unit: 'grapheme', maxLength: 2_000 }) })
const fields = {
  repository,
  updatedAtMs: count,
  algorithm: fc.option(algorithm, { nil: undefined }),
  blobBytes: fc.option(count, { nil: undefined }),
  checkpoint: fc.option(checkpoint, { nil: undefined }),
}
const unhashed = fc.record({ ...fields, received: count })
const hashed = fc
  .tuple(fc.record(fields), fc.uint8Array({ maxLength: 5_000 }), algorithm)
  .map(([rest, bytes, of]) => ({ ...rest, received: bytes.length, hashed: hashedOf(bytes, of) }))
const record: fc.Arbitrary<UploadRecord> = fc.oneof(unhashed, hashed).map((each) => {
  const present = Object.entries(each).filter(([, value]) => value !== undefined)
  return Object.fromEntries(present) as unknown as UploadRecord
})

describe('a record', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(record, (written) => {
        const bytes = encodeUploadRecord(written)
        expect(bytes.length).toBeLessThanOrEqual(UPLOAD_RECORD_BYTES_MAX)
        const read = decodeUploadRecord(KEY, bytes)
        expect(Object.keys(read).sort()).toEqual(Object.keys(written).sort())
        expect(plain(read)).toEqual(plain(written))
      }),
    )
  })

  it('of many pieces is read as it was written', () => {
    const pieceLength = Math.min(...PIECE_LENGTHS_BYTES)
    const whole = hashedOf(Buffer.alloc(pieceLength * 3 + 1, 'x'))
    const written = { repository: 'a', received: whole.length, updatedAtMs: 1, hashed: whole }
    expect(plain(decodeUploadRecord(KEY, encodeUploadRecord(written)))).toEqual(plain(written))
  })

  it('cut anywhere or changed in a byte is read as a record, or refused as none', () => {
    fc.assert(
      fc.property(record, fc.nat(), fc.integer({ min: 1, max: 255 }), (written, at, change) => {
        const bytes = Buffer.from(encodeUploadRecord(written))
        const position = at % bytes.length
        const changed = Buffer.from(bytes)
        changed[position] = changed[position]! ^ change
        for (const other of [changed, bytes.subarray(0, position)]) expectRecordOrRefusal(other)
      }),
    )
  })

  it('made of anything else is refused as none', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 500 }), expectRecordOrRefusal))
    fc.assert(
      fc.property(fc.json(), (json) => expectRecordOrRefusal(Buffer.from(`${json.replaceAll('\n', ' ')}\n`))),
    )
  })
})

describe('refused is', () => {
  const line = { version: 1, repository: 'team/app', received: 3, updatedAtMs: 5 }
  const whole = hashedOf(Buffer.from('abc'))
  const info = (() => {
    const encoded = encodeUploadRecord({ repository: 'a', received: 3, updatedAtMs: 0, hashed: whole })
    return encoded.subarray(encoded.indexOf(0x0a) + 1)
  })()
  const decode = (changes: object, rest: Uint8Array = new Uint8Array()) =>
    decodeUploadRecord(
      KEY,
      Buffer.concat([Buffer.from(`${JSON.stringify({ ...line, ...changes })}\n`), rest]),
    )

  it('nothing of what is written', () => {
    expect(decode({})).toEqual({ repository: 'team/app', received: 3, updatedAtMs: 5 })
    expect(decode({ hashed: whole.digest }, info).hashed?.digest).toBe(whole.digest)
    expect(decode({ somethingNewer: true })).toMatchObject({ received: 3 })
  })

  it.each([
    [{ version: 2 }],
    [{ version: undefined }],
    [{ repository: undefined }],
    [{ repository: 7 }],
    [{ repository: 'Team/App' }],
    [{ repository: '../etc' }],
    [{ received: undefined }],
    [{ received: -1 }],
    [{ received: 1.5 }],
    [{ received: '3' }],
    [{ received: 2 ** 53 }],
    [{ updatedAtMs: null }],
    [{ algorithm: 'md5' }],
    [{ algorithm: null }],
    [{ blobBytes: -1 }],
    [{ blobBytes: null }],
    [{ checkpoint: null }],
    [{ checkpoint: 'token' }],
    [{ checkpoint: { bytes: 1 } }],
    [{ checkpoint: { bytes: -1, token: 't' } }],
    [{ checkpoint: { bytes: 1, token: 7 } }],
    [{ hashed: 'sha256:abc' }],
    [{ hashed: null }],
    [{ hashed: 7 }],
  ])('%j', (changes) => {
    expect(() => decode(changes)).toThrow(StoredRecordInvalidError)
  })

  it.each([
    ['nothing', new Uint8Array()],
    ['no metainfo', Buffer.from('not bencoded')],
    ['half of it', info.subarray(0, info.length / 2)],
    ['more than it', Buffer.concat([info, Buffer.from('i1e')])],
  ])('a hash with %s beside it', (_what, rest) => {
    expect(() => decode({ hashed: whole.digest }, rest)).toThrow(StoredRecordInvalidError)
  })

  it('a hash with the metainfo of other bytes, or of another length', () => {
    const other = `sha256:${createHash('sha256').update('abd').digest('hex')}`
    expect(() => decode({ hashed: other }, info)).toThrow(StoredRecordInvalidError)
    expect(() => decode({ hashed: whole.digest, received: 4 }, info)).toThrow(StoredRecordInvalidError)
  })

  it('a line that is too long, or none', () => {
    expect(() => decode({ checkpoint: { bytes: 1, token: 'x'.repeat(20_000) } })).toThrow(
      StoredRecordInvalidError,
    )
    expect(() => decodeUploadRecord(KEY, Buffer.from(JSON.stringify(line)))).toThrow(StoredRecordInvalidError)
  })

  it('and it is said which object it was', () => {
    expect(() => decode({ received: -1 })).toThrow(expect.objectContaining({ key: KEY }))
  })
})

/** Bytes as text, whatever holds them. */
function plain({ hashed, ...rest }: UploadRecord): unknown {
  if (hashed === undefined) return rest
  const { piecesSha1, piecesSha256, ...metainfo } = hashed.metainfo
  const pieces = [piecesSha1, piecesSha256].map((bytes) => Buffer.from(bytes).toString('hex'))
  return { ...rest, hashed: { ...hashed, metainfo }, pieces }
}

function expectRecordOrRefusal(bytes: Uint8Array): void {
  try {
    const read = decodeUploadRecord(KEY, bytes)
    // What was read can be written again, and says the same.
    expect(plain(decodeUploadRecord(KEY, encodeUploadRecord(read)))).toEqual(plain(read))
  } catch (error) {
    if (!(error instanceof StoredRecordInvalidError)) throw error
  }
}
