/**
 * Compressed archives are unpacked into a file without a name, because a compressed tar cannot be read at a place. Nothing
 * is left behind, whatever ends the process: the folder is removed before the first byte is written.
 */
import type { FileHandle } from 'node:fs/promises'
import { mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { READ_BYTES } from './archive-files.ts'
import { type Compression, decompressor, unpackedBytesMax } from './compression.ts'
import { ArchiveFormatError, ArchiveLimitError } from './errors.ts'
import type { TarSource } from './tar-index.ts'

/**
 * Layers shrink to a third, text to a tenth. What is unpacked to more is zeros or a trap, and can be unpacked by hand by who
 * knows that it is the former.
 */
const UNPACKED_TIMES_MAX = 100
/** Of the free bytes where it is unpacked, what is left to others. */
const LEFT_FREE = 0.1
const BLOCK_BYTES = 512

/** @returns the unpacked file, to be closed by the caller; `source.file` is left open */
export async function spool(source: TarSource, compression: Compression): Promise<FileHandle> {
  const { path, signal } = source
  const unpacking = decompressor(compression)
  if (unpacking === undefined) throw new ArchiveFormatError(path, `this Node cannot unpack ${compression}`)
  const { size: packedBytes } = await source.file.stat()
  const spooled = await namelessFile()
  try {
    const limits = await limitsOf(path, packedBytes)
    const packed = source.file.createReadStream({ start: 0, autoClose: false, highWaterMark: READ_BYTES })
    await pipeline(packed, unpacking, (bytes: AsyncIterable<Buffer>) => write(path, spooled, bytes, limits), {
      signal,
    })
    return spooled
  } catch (error) {
    await spooled.close()
    signal.throwIfAborted()
    const { code = '', message } = error as NodeJS.ErrnoException
    // zlib's own: Z_DATA_ERROR, Z_BUF_ERROR at a sudden end, ZSTD_error_…
    if (/^(Z_|ZSTD_|ERR_ZSTD)/.test(code))
      throw new ArchiveFormatError(path, `its ${compression} is damaged or cut short: ${message}`, {
        cause: error,
      })
    throw error
  }
}

interface UnpackLimit {
  readonly bytesMax: number
  /** What to say when there are more. */
  readonly error: () => ArchiveLimitError
}

async function limitsOf(path: string, packedBytes: number): Promise<readonly UnpackLimit[]> {
  const { bavail, bsize } = await statfs(tmpdir())
  const freeBytes = Math.floor(bavail * bsize * (1 - LEFT_FREE))
  const times = unpackedBytesMax(packedBytes, UNPACKED_TIMES_MAX)
  const byHand = 'unpack it yourself and push the tar, if it is what you think it is'
  return [
    {
      bytesMax: times,
      error: () =>
        new ArchiveLimitError(path, `its ${packedBytes} bytes unpack to more than ${times}; ${byHand}`),
    },
    {
      bytesMax: freeBytes,
      error: () =>
        new ArchiveLimitError(
          path,
          `it unpacks to more than the ${freeBytes} bytes that may be used in ${tmpdir()}; free some, or set TMPDIR to a larger disk`,
        ),
    },
  ]
}

async function write(
  path: string,
  file: FileHandle,
  bytes: AsyncIterable<Buffer>,
  limits: readonly UnpackLimit[],
): Promise<void> {
  let writtenBytes = 0
  let start = Buffer.alloc(0)
  for await (const chunk of bytes) {
    for (const { bytesMax, error } of limits) if (writtenBytes + chunk.length > bytesMax) throw error()
    if (start.length < BLOCK_BYTES) {
      start = Buffer.concat([start, chunk.subarray(0, BLOCK_BYTES - start.length)])
      // Known from its first block, before the rest is unpacked.
      if (start.length === BLOCK_BYTES && !isTarHeader(start))
        throw new ArchiveFormatError(path, 'what it unpacks to is not a tar')
    }
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await file.write(chunk, done, chunk.length - done, writtenBytes + done)
      done += bytesWritten
    }
    writtenBytes += chunk.length
  }
}

/** POSIX ustar: the sum of a header's bytes stands in it in octal digits, and counts as blanks. */
function isTarHeader(block: Uint8Array): boolean {
  if (block.every((byte) => byte === 0)) return true
  const digits = Buffer.from(block.subarray(148, 156)).toString('latin1').replace(/[\0 ]/g, '')
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0)
  return /^[0-7]+$/.test(digits) && Number.parseInt(digits, 8) === sum
}

async function namelessFile(): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-push-'))
  try {
    return await open(join(folder, 'archive.tar'), 'wx+', 0o600)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
