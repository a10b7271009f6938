/**
 * Compressed archives are unpacked into a file without a name, because a compressed tar cannot be read at a place. Nothing
 * is left behind, whatever ends the process: the folder is removed before the first byte is written.
 */
import type { FileHandle } from 'node:fs/promises'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { READ_BYTES } from './archive-files.ts'
import { type Compression, decompressor } from './compression.ts'
import { ArchiveFormatError, ArchiveLimitError } from './errors.ts'
import type { TarSource } from './tar-index.ts'

/** Some thousand times what an image has, and less than what a small file can unpack to. */
export const SPOOLED_BYTES_MAX = 1024 ** 4

/** @returns the unpacked file, to be closed by the caller; `source.file` is left open */
export async function spool(source: TarSource, compression: Compression): Promise<FileHandle> {
  const { path, signal } = source
  const unpacking = decompressor(compression)
  if (unpacking === undefined) throw new ArchiveFormatError(path, `this Node cannot unpack ${compression}`)
  const spooled = await namelessFile()
  try {
    const packed = source.file.createReadStream({ start: 0, autoClose: false, highWaterMark: READ_BYTES })
    await pipeline(packed, unpacking, (bytes: AsyncIterable<Buffer>) => write(path, spooled, bytes), {
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

async function write(path: string, file: FileHandle, bytes: AsyncIterable<Buffer>): Promise<void> {
  let writtenBytes = 0
  for await (const chunk of bytes) {
    if (writtenBytes + chunk.length > SPOOLED_BYTES_MAX)
      throw new ArchiveLimitError(path, `it unpacks to more than ${SPOOLED_BYTES_MAX} bytes`)
    for (let done = 0; done < chunk.length; ) {
      const { bytesWritten } = await file.write(chunk, done, chunk.length - done, writtenBytes + done)
      done += bytesWritten
    }
    writtenBytes += chunk.length
  }
}

async function namelessFile(): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-push-'))
  try {
    return await open(join(folder, 'archive.tar'), 'wx+', 0o600)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
