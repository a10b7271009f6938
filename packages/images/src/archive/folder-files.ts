/** The files of a folder. Links are followed as long as they stay inside. */
import { createReadStream } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { type ArchiveFile, type ArchiveFiles, READ_BYTES } from './archive-files.ts'
import { entryPath } from './entry-path.ts'
import { ArchivePathError, ArchiveUnreadableError } from './errors.ts'

export async function folderFiles(path: string): Promise<ArchiveFiles> {
  const root = await realpath(path)
  const opened = new Map<string, ArchiveFile>()
  return {
    path,
    async find(name) {
      const inside = entryPath(name)
      if (inside === undefined) throw new ArchivePathError(path, name)
      const place = await placeOf(path, root, join(root, inside))
      if (place === undefined) return undefined
      const fromRoot = relative(root, place)
      if (fromRoot === '..' || fromRoot.startsWith(`..${sep}`)) throw new ArchivePathError(path, name)
      const known = opened.get(place) ?? (await fileOf(place))
      if (known !== undefined) opened.set(place, known)
      return known
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

/** Where it really is. */
async function placeOf(path: string, root: string, name: string): Promise<string | undefined> {
  try {
    return await realpath(name)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new ArchiveUnreadableError(path, `${relative(root, name)}: ${message}`, { cause: error })
  }
}

/** Pipes and devices are none: to open one may take for ever. */
async function fileOf(place: string): Promise<ArchiveFile | undefined> {
  const found = await stat(place)
  if (!found.isFile()) return undefined
  return { sizeBytes: found.size, open: () => createReadStream(place, { highWaterMark: READ_BYTES }) }
}
