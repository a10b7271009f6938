/** How a folder and the disk below it are, as this process sees them. Looks only; changes nothing. */
import { constants } from 'node:fs'
import { access, stat, statfs } from 'node:fs/promises'
import { resolve } from 'node:path'

export interface FolderState {
  /** Absolute. */
  readonly folder: string
  /** The system's word where it cannot be looked at or is no folder: `ENOENT`, `ENOTDIR`, `EACCES`. */
  readonly problem?: string
  /** `EACCES`, `EROFS` and the like where this process cannot write there. */
  readonly writeProblem?: string
  /** Absent where it is of a kind that is not known here. */
  readonly fileSystem?: string
  readonly ownerId?: number
  /** Of the permissions, the last nine bits. */
  readonly mode?: number
  readonly totalBytes?: number
  /** Free for this process. */
  readonly freeBytes?: number
  /** 0 where the file system makes as many as it needs. */
  readonly totalInodes?: number
  readonly freeInodes?: number
}

/** statfs(2), of those that a cache may be on. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: 'ext4',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  801189825: 'zfs',
  16914836: 'tmpfs',
  2240043254: 'ramfs',
  2035054128: 'overlay',
  26985: 'nfs',
  4283649346: 'cifs',
  4266872130: 'smb2',
  1702057286: 'fuse',
  12805120: 'ceph',
}

/** Never throws. */
export async function folderState(path: string): Promise<FolderState> {
  const folder = resolve(path)
  try {
    const found = await stat(folder)
    const disk = await statfs(folder)
    const fileSystem = FILE_SYSTEMS[disk.type]
    const writeProblem = found.isDirectory() ? await writeProblemOf(folder) : undefined
    return {
      folder,
      ...(!found.isDirectory() && { problem: 'ENOTDIR' }),
      ...(writeProblem !== undefined && { writeProblem }),
      ...(fileSystem !== undefined && { fileSystem }),
      ownerId: found.uid,
      mode: found.mode & 0o777,
      totalBytes: disk.blocks * disk.bsize,
      freeBytes: disk.bavail * disk.bsize,
      totalInodes: disk.files,
      freeInodes: disk.ffree,
    }
  } catch (error) {
    return { folder, problem: codeOf(error) }
  }
}

export interface OpenFolder {
  readonly folder: string
  /** Octal. */
  readonly mode: string
  /** What closes it, to be typed in a shell. */
  readonly remedy: string
}

/**
 * Of these folders, those into which others on this machine may look or write, and whose owner this user is. A folder of
 * somebody else's, such as a mounted one, is only told of where everybody may write: its owner has decided the rest.
 */
export async function foldersOpenToOthers(paths: readonly string[]): Promise<readonly OpenFolder[]> {
  const states = await Promise.all(paths.map(folderState))
  return states.flatMap(({ folder, ownerId, mode = 0 }) => {
    const isOpen = (mode & 0o002) !== 0 || (ownerId === process.getuid?.() && (mode & 0o077) !== 0)
    return isOpen ? [{ folder, mode: mode.toString(8), remedy: `chmod -R go= ${quoted(folder)}` }] : []
  })
}

function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

/** Asked of the system: a file written for trial would change what is looked at. */
async function writeProblemOf(folder: string): Promise<string | undefined> {
  try {
    await access(folder, constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    return codeOf(error)
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'UNKNOWN'
}
