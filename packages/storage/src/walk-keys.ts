/**
 * The files below a folder as keys in byte order. The order of a folder's names is not it: `a-b` sorts before `a/c`, so a
 * folder is sorted as if its name ended with the `/` that follows it in every key.
 */
import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from './durable.ts'

/** Keys that begin with `prefix` and come after `after`; names that are no part of a key are passed over. */
export async function* walkKeys(folder: string, prefix: string, after: string): AsyncGenerator<string> {
  yield* walk(folder, '', prefix, after)
}

async function* walk(folder: string, path: string, prefix: string, after: string): AsyncGenerator<string> {
  const entries = (await namesIn(join(folder, path)))
    .filter((entry) => !entry.name.startsWith('~'))
    .map((entry) => ({ entry, sortName: path + entry.name + (entry.isDirectory() ? '/' : '') }))
    .filter(({ sortName, entry }) =>
      // A folder may lead to the prefix, or lie within it.
      entry.isDirectory()
        ? sortName.startsWith(prefix) || prefix.startsWith(sortName)
        : sortName.startsWith(prefix),
    )
    .sort((a, b) => (a.sortName < b.sortName ? -1 : 1))
  for (const { entry, sortName } of entries) {
    if (!entry.isDirectory()) {
      if (sortName > after) yield sortName
    } else if (sortName > after || after.startsWith(sortName)) {
      yield* walk(folder, sortName, prefix, after)
    }
  }
}

async function namesIn(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true })
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return []
    throw error
  }
}
