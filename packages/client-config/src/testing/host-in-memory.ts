/** A host's files in memory, for planning. */
import type { HostView } from '../plan.ts'

/**
 * @param files by their path on the host
 * @param unseen folders of the host that are not mounted where this runs
 */
export function viewOf(files: Readonly<Record<string, string>>, unseen: readonly string[] = []): HostView {
  const paths = Object.keys(files)
  const namesIn = (folder: string) =>
    paths
      .filter((path) => path.startsWith(`${folder}/`))
      .map((path) => path.slice(folder.length + 1).split('/')[0]!)
  return {
    read: (path) => files[path],
    list: (folder) => [...new Set(namesIn(folder))].sort(),
    hasFolder: (folder) => namesIn(folder).length > 0,
    isOfHost: (path) => !unseen.some((folder) => path === folder || path.startsWith(`${folder}/`)),
  }
}
