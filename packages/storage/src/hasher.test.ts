/** Goal: digests come out right, wherever they are computed and however the file grows. Method: against node:crypto. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Hasher } from './hasher.ts'

const sha256 = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest('hex')
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

function shared(bytes: Uint8Array): Uint8Array<SharedArrayBuffer> {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}

describe('Hasher', () => {
  let hasher: Hasher
  let folder: string
  beforeEach(async () => {
    hasher = new Hasher()
    folder = await mkdtemp(join(tmpdir(), 'shoal-hasher-'))
  })
  afterEach(async () => {
    await hasher.stop()
    await rm(folder, { recursive: true })
  })

  it('hashes parts of shared memory as one, many at a time, before and after its thread has begun', async () => {
    const pieces = Array.from({ length: 12 }, () => [
      randomBytes(300_000),
      randomBytes(1),
      randomBytes(70_000),
    ])
    const hash = (parts: Uint8Array[]) => hasher.sha256(parts.map(shared)).then(hex)
    expect(await hash(pieces[0]!)).toBe(sha256(...pieces[0]!))
    // By now the thread is on its way; the answers are the same from either.
    for (let round = 0; round < 20; round++) {
      const found = await Promise.all(pieces.map(hash))
      expect(found).toEqual(pieces.map((parts) => sha256(...parts)))
    }
  })

  it('hashes a file that fills up from its beginning', async () => {
    const bytes = randomBytes(9_000_000)
    const path = join(folder, 'file')
    const file = await open(path, 'w')
    const digest = hasher.file(path, 'sha256')
    for (const end of [1, 300_000, 300_000, 5_000_000, bytes.length]) {
      await file.write(bytes.subarray(0, end), 0, end, 0)
      digest.advance(end)
    }
    expect(hex(await digest.digest())).toBe(sha256(bytes))
    await file.close()
  })

  it('hashes a file without a byte', async () => {
    const path = join(folder, 'empty')
    await (await open(path, 'w')).close()
    expect(hex(await hasher.file(path, 'sha256').digest())).toBe(sha256())
  })

  it('says when a file is shorter than promised, or not there', async () => {
    const path = join(folder, 'short')
    await (await open(path, 'w')).close()
    const short = hasher.file(path, 'sha256')
    short.advance(10)
    await expect(short.digest()).rejects.toThrow('shorter')
    const absent = hasher.file(join(folder, 'absent'), 'sha256')
    absent.advance(10)
    await expect(absent.digest()).rejects.toThrow('ENOENT')
  })

  it('leaves nobody waiting when it is stopped', async () => {
    const path = join(folder, 'file')
    await (await open(path, 'w')).close()
    const digest = hasher.file(path, 'sha256')
    const asked = digest.digest()
    const refused = expect(asked).rejects.toThrow('stopped')
    await hasher.stop()
    await refused
  })
})
