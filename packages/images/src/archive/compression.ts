/** What compresses a file, told from its first bytes, and how to undo it. RFC 1952 (gzip) and RFC 8878 (Zstandard). */
import type { Transform } from 'node:stream'
import zlib from 'node:zlib'

export type Compression = 'gzip' | 'zstd'

export const MAGIC_BYTES = 4

/** @param start the first {@link MAGIC_BYTES} or more, or all of a shorter file */
export function compressionOf(start: Uint8Array): Compression | undefined {
  if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip'
  const isZstd = start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd
  return isZstd ? 'zstd' : undefined
}

/** @returns undefined when this Node cannot undo it: Zstandard came with 22.15 */
export function decompressor(compression: Compression): Transform | undefined {
  return compression === 'gzip' ? zlib.createGunzip() : zlib.createZstdDecompress?.()
}

/** Less is no harm, whatever it was packed into. */
const UNPACKED_BYTES_ALWAYS = 64 * 1024 * 1024

/** How many bytes something packed may unpack to, at so many times its length. */
export function unpackedBytesMax(packedBytes: number, times: number): number {
  return Math.max(UNPACKED_BYTES_ALWAYS, packedBytes * times)
}
