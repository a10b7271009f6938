/** Files that are there after a power failure: written aside, flushed, then given their name. */
import { randomUUID } from 'node:crypto'
import { type FileHandle, link, mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

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
  const first = await mkdir(whole, { recursive: true })
  if (first === undefined) return
  for (let made = whole; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}

/** Opens a new file in the staging folder. */
export async function openStaged(stagingFolder: string): Promise<{ path: string; handle: FileHandle }> {
  const path = join(stagingFolder, randomUUID())
  return { path, handle: await open(path, 'wx') }
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
