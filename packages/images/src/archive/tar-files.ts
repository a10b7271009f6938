/** The files of a tar, read where they lie in it. The tar stays open, so what was indexed is what is read. */
import type { FileHandle } from 'node:fs/promises'
import { type ArchiveFile, type ArchiveFiles, READ_BYTES } from './archive-files.ts'
import { entryPath } from './entry-path.ts'
import { ArchiveFormatError, ArchivePathError, ArchiveTruncatedError } from './errors.ts'
import { indexTar, type TarEntry, type TarSource } from './tar-index.ts'

/** As many as a kernel follows. */
const LINKS_MAX = 40

/** @param source its file is closed with what is returned, or when it cannot be indexed */
export async function tarFiles(source: TarSource): Promise<ArchiveFiles> {
  const { file, path } = source
  let entries: ReadonlyMap<string, TarEntry>
  try {
    entries = await indexTar(source)
  } catch (error) {
    await file.close()
    throw error
  }
  const opened = new Map<TarEntry, ArchiveFile>()
  return {
    path,
    async find(name) {
      const entry = follow(path, entries, name)
      if (entry === undefined) return undefined
      const known = opened.get(entry) ?? fileOf(path, file, entry)
      opened.set(entry, known)
      return known
    },
    [Symbol.asyncDispose]: () => file.close(),
  }
}

type FileEntry = Extract<TarEntry, { kind: 'file' }>

function follow(path: string, entries: ReadonlyMap<string, TarEntry>, name: string): FileEntry | undefined {
  let at = entryPath(name)
  if (at === undefined) throw new ArchivePathError(path, name)
  for (let links = 0; links <= LINKS_MAX; links++) {
    const entry: TarEntry | undefined = entries.get(at)
    if (entry === undefined || entry.kind === 'file') return entry
    at = entry.target
  }
  throw new ArchiveFormatError(path, `${name} is a link that leads nowhere`)
}

function fileOf(path: string, file: FileHandle, { offsetBytes, sizeBytes }: FileEntry): ArchiveFile {
  return {
    sizeBytes,
    async *open() {
      for (let readBytes = 0; readBytes < sizeBytes; ) {
        // A new buffer for each: the one before may still be on its way to a socket.
        const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, sizeBytes - readBytes))
        const { bytesRead } = await file.read(buffer, 0, buffer.length, offsetBytes + readBytes)
        if (bytesRead === 0) throw new ArchiveTruncatedError(path)
        yield buffer.subarray(0, bytesRead)
        readBytes += bytesRead
      }
    },
  }
}
