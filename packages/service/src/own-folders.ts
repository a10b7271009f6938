/** The folders that a service has for itself: locked while it runs, and looked at for who else may see into them. */
import type { ServiceName } from '@shoal/core'
import { foldersOpenToOthers, lockFolder } from '@shoal/storage'
import type { Logger } from 'pino'

/** Keeps other processes out of a folder until `begun` ends. @throws StorageError when another has it */
export async function ownFolder(
  folder: string,
  service: ServiceName,
  { begun, log }: { readonly begun: AsyncDisposableStack; readonly log: Logger },
): Promise<void> {
  const lock = await lockFolder(folder, service)
  begun.defer(() => lock.release())
  if (lock.problem !== undefined)
    log.warn(
      { event: 'folder-not-locked', folder, problem: lock.problem },
      'nothing keeps another process out of a folder',
    )
}

export async function warnOfOpenFolders(folders: readonly string[], log: Logger): Promise<void> {
  for (const open of await foldersOpenToOthers(folders))
    log.warn({ event: 'folder-open-to-others', ...open }, 'others on this machine can look into a folder')
}
