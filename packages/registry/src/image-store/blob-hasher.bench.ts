/** How fast a push can be hashed: divide 64 MiB by the mean time. One piece length is what a known blob length costs. */
import { bench, describe } from 'vitest'
import { BlobHasher } from './blob-hasher.ts'

const MIB = 1024 * 1024
const chunk = new Uint8Array(65_536).fill(7)

describe('64 MiB in chunks of 64 KiB', () => {
  for (const [name, blobBytes] of [
    ['three piece lengths', undefined],
    ['one piece length', 64 * MIB],
  ] as const) {
    bench(name, () => {
      const hasher = new BlobHasher({
        algorithm: 'sha256',
        ...(blobBytes === undefined ? {} : { blobBytes }),
      })
      for (let bytes = 0; bytes < 64 * MIB; bytes += chunk.length) hasher.update(chunk)
      hasher.finish()
    })
  }
})
