/**
 * Bytes that nothing compresses, a function of their seed alone: the key stream of a cipher. It is as good as random and
 * made at more than a gigabyte a second, so a layer of any size takes neither memory nor disk.
 */
import { createCipheriv, createHash } from 'node:crypto'
import type { LayerFile } from './layer.ts'

const CHUNK_BYTES = 1024 * 1024

export function fillerFile(path: string, init: { seed: string; sizeBytes: number }): LayerFile {
  return { path, sizeBytes: init.sizeBytes, mode: 0o644, open: () => fillerBytes(init) }
}

async function* fillerBytes(init: { seed: string; sizeBytes: number }): AsyncGenerator<Uint8Array> {
  const key = createHash('sha256').update(init.seed).digest()
  const cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16))
  const zeros = new Uint8Array(CHUNK_BYTES)
  for (let left = init.sizeBytes; left > 0; left -= CHUNK_BYTES) {
    yield cipher.update(left < CHUNK_BYTES ? zeros.subarray(0, left) : zeros)
  }
}
