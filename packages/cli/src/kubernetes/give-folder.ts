/**
 * Gives a folder of the node to the user that the agent runs as: the kubelet makes such folders for root.
 * What is in it is looked at only when the folder itself belongs to somebody else, and it comes last: an end in the middle
 * is made up for by the next run.
 */
import { chmod, lchown, lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { OutputFileError } from './errors.ts'

export interface Owner {
  readonly user: number
  readonly group: number
}

/** @returns whether anything had to be changed @throws OutputFileError */
export async function giveFolder(folder: string, owner: Owner, signal: AbortSignal): Promise<boolean> {
  try {
    const { uid, gid } = await lstat(folder)
    if (uid === owner.user && gid === owner.group) return false
    await ownContent(folder, owner, signal)
    // As the agent would have made it; while it is still this user's own.
    if (uid === process.getuid?.()) await chmod(folder, 0o700)
    await lchown(folder, owner.user, owner.group)
    return true
  } catch (cause) {
    signal.throwIfAborted()
    throw new OutputFileError(
      `${folder} cannot be given to ${owner.user}:${owner.group} (${(cause as Error).message}); run this as root with CAP_CHOWN`,
      { cause },
    )
  }
}

/** Links are never followed. */
async function ownContent(folder: string, owner: Owner, signal: AbortSignal): Promise<void> {
  for await (const entry of await opendir(folder)) {
    signal.throwIfAborted()
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await ownContent(path, owner, signal)
    await lchown(path, owner.user, owner.group)
  }
}
