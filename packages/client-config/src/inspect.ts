/** What the record says was installed, and whether it is still so. Reads only. */
import { standingOf } from './decisions.ts'
import { HostFileError } from './errors.ts'
import type { HostFiles } from './host-files.ts'
import { filesBelow } from './host-root.ts'
import type { InstalledFile } from './record.ts'
import { recorded } from './state.ts'
import type { Runtime } from './wish.ts'

export interface InspectedFile {
  readonly runtime: Runtime
  readonly path: string
  /** `unreadable`: not by this user, or not from this container. */
  readonly state: 'installed' | 'edited' | 'missing' | 'unreadable'
  readonly detail: string
  /** Which agent the clients were told to ask. */
  readonly agent: string
}

const STATES = {
  ours: ['installed', 'as Shoal wrote it'],
  edited: ['edited', 'was edited since Shoal wrote it'],
  before: ['missing', 'is as it was before Shoal wrote it'],
  gone: ['missing', 'was removed since Shoal wrote it'],
  new: ['missing', 'is not known'],
} as const

/**
 * @param init.root where the host's file system is
 * @returns nothing when nothing was installed
 * @throws ClientConfigError when the record cannot be read
 */
export async function inspectClientConfig({ root }: { root: string }): Promise<readonly InspectedFile[]> {
  const files = filesBelow(root)
  const record = recorded(files)
  if (record === undefined) return []
  return record.files.flatMap((entry) => {
    const [state, detail] = stateOf(files, entry)
    return entry.runtimes.map((runtime) => ({
      runtime,
      path: entry.path,
      state,
      detail,
      agent: entry.agent,
    }))
  })
}

function stateOf(
  files: HostFiles,
  entry: InstalledFile,
): readonly [state: InspectedFile['state'], detail: string] {
  try {
    return STATES[standingOf(entry, files.read(entry.path))]
  } catch (error) {
    if (error instanceof HostFileError) return ['unreadable', error.reason]
    throw error
  }
}
