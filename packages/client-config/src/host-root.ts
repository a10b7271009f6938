/** The folder where a host's file system is. */
import { realpathSync, statSync } from 'node:fs'
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

/**
 * In a container, only what is mounted below the root is the host's. A file on the container's own file system would be lost
 * with it, and so would the record of one that is not.
 *
 * @param recordFolder where the record is
 * @returns why a file cannot be written, undefined when it can
 */
export function notMounted(
  files: Pick<HostFiles, 'root' | 'deviceOf'>,
  path: string,
  recordFolder: string,
): string | undefined {
  if (files.root === '/') return undefined
  const { dev } = statSync('/')
  const isLost = files.deviceOf(path) === dev
  if (isLost === (files.deviceOf(recordFolder) === dev)) return undefined
  return `${isLost ? 'its folder' : recordFolder} is not the host’s: mount it below --root, and run this again`
}

function realRoot(root: string): string {
  try {
    return realpathSync(resolve(root))
  } catch (error) {
    throw new ClientRootError(root, `it cannot be opened (${(error as NodeJS.ErrnoException).code})`)
  }
}
