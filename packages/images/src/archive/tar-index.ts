/**
 * Finds where the files of a tar begin and how long they are. Header are read, contents are jumped over: an archive of
 * any size takes a few reads per file.
 * POSIX pax format with GNU's long names, as tar-stream understands them.
 */
import { once } from 'node:events'
import type { FileHandle } from 'node:fs/promises'
import { extract, type Header } from 'tar-stream'
import { entryPath, linkedPath } from './entry-path.ts'
import {
  ArchiveFormatError,
  ArchiveLimitError,
  ArchivePathError,
  ArchiveTruncatedError,
  type ImageArchiveError,
} from './errors.ts'

export type TarEntry =
  | { readonly kind: 'file'; readonly offsetBytes: number; readonly sizeBytes: number }
  /** `target` is a path of this archive, where something may be or not. */
  | { readonly kind: 'link'; readonly target: string }

export interface TarSource {
  readonly file: FileHandle
  /** For messages. */
  readonly path: string
  readonly signal: AbortSignal
}

/** A hundred times what the largest images have. */
export const ENTRIES_MAX = 100_000
const BLOCK_BYTES = 512
/** Small files lie close together: their headers come in one read. */
const WINDOW_BYTES = 64 * 1024

/**
 * @returns files and links by path; of several with one path the last counts, as when it is unpacked
 * @throws ArchiveFormatError · ArchiveTruncatedError · ArchivePathError · ArchiveLimitError
 */
export async function indexTar(source: TarSource): Promise<ReadonlyMap<string, TarEntry>> {
  const { path, signal } = source
  const { size: archiveBytes } = await source.file.stat()
  if (archiveBytes < BLOCK_BYTES) throw new ArchiveFormatError(path, 'it is too short for a tar')
  const headers = headerReader(source, archiveBytes)
  const entries = new Map<string, TarEntry>()
  let count = 0
  let atBytes = 0
  for (;;) {
    signal.throwIfAborted()
    const found = await headers.next(atBytes)
    if (found === undefined) return entries
    if (++count > ENTRIES_MAX) throw new ArchiveLimitError(path, `it has more than ${ENTRIES_MAX} entries`)
    const { header, contentAtBytes } = found
    const sizeBytes = header.type === 'directory' ? 0 : (header.size ?? 0)
    if (contentAtBytes + sizeBytes > archiveBytes) throw new ArchiveTruncatedError(path)
    const name = entryPath(header.name)
    if (name === undefined) throw new ArchivePathError(path, header.name)
    const entry = entryOf(header, name, { offsetBytes: contentAtBytes, sizeBytes })
    if (entry === 'escapes') throw new ArchivePathError(path, `${header.name} → ${header.linkname}`)
    if (entry !== undefined) entries.set(name, entry)
    atBytes = contentAtBytes + Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES
  }
}

function entryOf(
  { type, linkname }: Header,
  name: string,
  place: { offsetBytes: number; sizeBytes: number },
): TarEntry | 'escapes' | undefined {
  if (type === 'file' || type === 'contiguous-file') return { kind: 'file', ...place }
  // Folders, devices and the like hold nothing.
  if (type !== 'symlink' && type !== 'link') return undefined
  // A hard link names a path of the archive, a symbolic one counts from its own folder.
  const target = type === 'link' ? entryPath(linkname ?? '') : linkedPath(name, linkname ?? '')
  return target === undefined ? 'escapes' : { kind: 'link', target }
}

interface FoundHeader {
  readonly header: Header
  readonly contentAtBytes: number
}

function headerReader({ file, path }: TarSource, archiveBytes: number) {
  const buffer = Buffer.alloc(WINDOW_BYTES)
  let window = { fromBytes: 0, bytes: buffer.subarray(0, 0) }

  const blockAt = async (atBytes: number): Promise<Buffer | undefined> => {
    if (atBytes >= archiveBytes) return undefined
    if (atBytes + BLOCK_BYTES > archiveBytes) throw new ArchiveTruncatedError(path)
    const begins = atBytes - window.fromBytes
    if (begins < 0 || begins + BLOCK_BYTES > window.bytes.length) {
      const { bytesRead } = await file.read(buffer, 0, WINDOW_BYTES, atBytes)
      if (bytesRead < BLOCK_BYTES) throw new ArchiveTruncatedError(path)
      window = { fromBytes: atBytes, bytes: buffer.subarray(0, bytesRead) }
    }
    // A copy: the parser keeps blocks of long headers while the window moves on.
    return Buffer.from(window.bytes.subarray(atBytes - window.fromBytes).subarray(0, BLOCK_BYTES))
  }

  /** @returns the next entry's header, or undefined at the end of the archive */
  const next = async (fromBytes: number): Promise<FoundHeader | undefined> => {
    // A parser for each: the headers that belong to one entry stand together, and what follows need not be read. With
    // no buffer of its own it says `drain` when it has dealt with a block.
    const parser = extract({ highWaterMark: 0 })
    let header: Header | undefined
    parser.on('entry', (found) => {
      header = found
    })
    try {
      let zeroBlocks = 0
      for (let atBytes = fromBytes; ; atBytes += BLOCK_BYTES) {
        const block = await blockAt(atBytes)
        if (block === undefined) {
          // Two blocks of zeros end an archive; tools that leave them out are forgiven, half a header is not.
          if (atBytes === fromBytes || zeroBlocks > 0) return undefined
          throw new ArchiveTruncatedError(path)
        }
        zeroBlocks = block.every((byte) => byte === 0) ? zeroBlocks + 1 : 0
        if (zeroBlocks === 2 && atBytes - fromBytes === BLOCK_BYTES) return undefined
        parser.write(block)
        await once(parser, 'drain')
        if (header !== undefined) return { header, contentAtBytes: atBytes + BLOCK_BYTES }
      }
    } catch (error) {
      throw asArchiveError(path, error)
    } finally {
      parser.destroy()
    }
  }
  return { next }
}

function asArchiveError(path: string, error: unknown): ImageArchiveError {
  if (error instanceof ArchiveTruncatedError) return error
  return new ArchiveFormatError(path, `not a tar: ${(error as Error).message}`, { cause: error })
}
