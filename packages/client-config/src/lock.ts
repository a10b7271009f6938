/**
 * One run at a time: a lock that the kernel takes back when its holder ends, however that ends, and that holds between
 * containers which share nothing but the folder. Node has no call for such locks; SQLite, which it carries, takes one on an
 * empty file, waits for it, and writes nothing.
 */
import { statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { ClientConfigBusyError, HostFileError } from './errors.ts'

/** A run takes some hundred milliseconds. */
const LOCK_WAIT_MS = 20_000
const SQLITE_BUSY = 5

export interface Lock {
  release(): void
}

/**
 * @param path an existing file
 * @returns undefined when the file was replaced meanwhile: the lock would be on one that nobody else sees
 */
export function takeLock(path: string, waitMs: number = LOCK_WAIT_MS): Lock | undefined {
  const inode = inodeOf(path)
  const database = openDatabase(path, waitMs)
  try {
    // Without a journal on disk no other file appears beside it.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) throw new ClientConfigBusyError(path, waitMs)
    throw new HostFileError(path, `cannot be locked (${(error as Error).message})`, { cause: error })
  }
  if (inode !== undefined && inodeOf(path) === inode) return { release: () => database.close() }
  database.close()
  return undefined
}

function openDatabase(path: string, waitMs: number): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: waitMs })
  } catch (error) {
    throw new HostFileError(path, `cannot be opened (${(error as Error).message}); run this as root`, {
      cause: error,
    })
  }
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino
}
