/**
 * One process at a time on a folder: a service that starts removes what seems to be left over, and would remove what another
 * one is working on.
 *
 * The lock is the system's (fcntl), so it ends with its process however that ends, holds between containers whatever their
 * process ids, and over NFS where the server keeps locks. Node has no call for it; SQLite, which it brings, has: its file stays
 * empty, and a transaction that is begun and never writes holds it.
 */
import { open, readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { FILE_MODE, makeFolder } from './durable.ts'
import { FolderHeldError, StorageUnavailableError } from './errors.ts'

const LOCK = '~lock'
/** For whoever finds the folder taken; says nothing by itself. */
const HOLDER = '~lock-holder'
const HOLDER_CHARACTERS_MAX = 200
/** https://www.sqlite.org/rescode.html */
const SQLITE_BUSY = 5

export interface FolderLock {
  /** Why the folder is not locked: its file system knows no locks, say. Nothing keeps others out then. */
  readonly problem?: string
  release(): Promise<void>
}

/**
 * Makes the folder where there is none.
 * @param service what holds it, for messages
 * @throws FolderHeldError · StorageUnavailableError
 */
export async function lockFolder(folder: string, service: string): Promise<FolderLock> {
  try {
    await makeFolder(folder)
    // SQLite would make the file for everybody to read.
    await (await open(join(folder, LOCK), 'a', FILE_MODE)).close()
  } catch (cause) {
    throw new StorageUnavailableError(`folder ${folder}`, 'be set up', { cause })
  }
  const holderPath = join(folder, HOLDER)
  let locked: { close(): void }
  try {
    const { DatabaseSync } = await import('node:sqlite')
    const file = new DatabaseSync(join(folder, LOCK), { timeout: 0 })
    try {
      // No journal beside the file, which would take room.
      file.exec('PRAGMA journal_mode = MEMORY; BEGIN IMMEDIATE')
    } catch (error) {
      file.close()
      throw error
    }
    locked = file
  } catch (error) {
    if (((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY)
      throw new FolderHeldError(folder, await holderIn(holderPath))
    return { problem: (error as Error).message, release: async () => {} }
  }
  const holder = `${service}, process ${process.pid} on ${hostname()}, since ${new Date().toISOString()}`
  // On a full disk the folder is locked all the same.
  await writeFile(holderPath, holder, { mode: FILE_MODE }).catch(() => {})
  return { release: async () => locked.close() }
}

async function holderIn(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const printable = text.replaceAll(/[^\x20-\x7e]/g, '').slice(0, HOLDER_CHARACTERS_MAX)
  return printable === '' ? 'another process' : printable
}
