/** How fast a push can be hashed: divide 64 MiB by the mean time. One piece length is what a known blob length costs. */
import { test } from 'vitest'
import { BlobHasher } from './blob-hasher.ts'

const MIB = 1024 * 1024
const chunk = new Uint8Array(65_536).fill(7)

function hash(blobBytes?: number): void {
  const hasher = new BlobHasher({ algorithm: 'sha256', ...(blobBytes === undefined ? {} : { blobBytes }) })
  for (let bytes = 0; bytes < 64 * MIB; bytes += chunk.length) hasher.update(chunk)
  hasher.peek()
}

test('64 MiB in chunks of 64 KiB', { timeout: 60_000 }, async ({ bench }) => {
  await bench.compare(
    bench('every piece length', () => hash()),
    bench('one piece length', () => hash(64 * MIB)),
  )
})
