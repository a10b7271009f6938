/** The folder where a host's file system is. */
import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { ClientRootError } from './errors.ts'
import { HostFiles } from './host-files.ts'

/** @throws ClientRootError */
export function filesBelow(root: string, onChange?: (change: string) => void): HostFiles {
  const files = new HostFiles(realRoot(root), onChange)
  for (const folder of ['/etc', '/var/lib'])
    if (!files.hasFolder(folder)) throw new ClientRootError(root, `it has no ${folder}`)
  return files
}

function realRoot(root: string): string {
  try {
    return realpathSync(resolve(root))
  } catch (error) {
    throw new ClientRootError(root, `it cannot be opened (${(error as NodeJS.ErrnoException).code})`)
  }
}
