/** Files that are there after a power failure: written aside, flushed, then given their name. */
import { randomUUID } from 'node:crypto'
import { type FileHandle, link, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

/**
 * What Shoal makes is for the user that it runs as, whatever the umask: images are not everybody's to read on a machine, and
 * the origin holds a key.
 */
export const FOLDER_MODE = 0o700
export const FILE_MODE = 0o600

/** Flushes a folder, so that the names in it last. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes the folder and its parents, and their names last. */
export async function makeFolder(folder: string): Promise<void> {
  const whole = resolve(folder)
  const first = await mkdir(whole, { recursive: true, mode: FOLDER_MODE })
  if (first === undefined) return
  for (let made = whole; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}

/** Opens a new file in the staging folder. */
export async function openStaged(stagingFolder: string): Promise<{ path: string; handle: FileHandle }> {
  const path = join(stagingFolder, randomUUID())
  return { path, handle: await open(path, 'wx', FILE_MODE) }
}

/**
 * Gives a flushed file its name.
 * @param ifAbsent makes no change where the name is taken
 * @returns false when it was taken
 */
export async function publish(
  staged: string,
  path: string,
  { ifAbsent }: { ifAbsent: boolean },
): Promise<boolean> {
  // Pruning may take the folder away between making it and using it.
  for (let attempt = 0; ; attempt++) {
    try {
      await makeFolder(dirname(path))
      if (ifAbsent) await link(staged, path)
      else await rename(staged, path)
      break
    } catch (error) {
      if (codeOf(error) === 'EEXIST' && ifAbsent) return false
      if (codeOf(error) !== 'ENOENT' || attempt === 10) throw error
    }
  }
  await syncFolder(dirname(path))
  if (ifAbsent) await rm(staged, { force: true })
  return true
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
