/** A host's files as planning sees them: without what the record says to be Shoal's. */
import { baseOf, type Content, standingOf } from './decisions.ts'
import { HostFileError } from './errors.ts'
import type { HostFiles } from './host-files.ts'
import { notMounted } from './host-root.ts'
import type { HostView } from './plan.ts'
import type { InstalledFile, InstallRecord } from './record.ts'
import { PARENT } from './state.ts'

/** @param kept what was there before Shoal, by its SHA-256 */
export function hostView(
  files: HostFiles,
  record: InstallRecord,
  kept: (sha256: string) => Buffer,
): HostView {
  const byPath = new Map(record.files.map((entry) => [entry.path, entry]))
  const isOnlyOurs = (path: string) => {
    const entry = byPath.get(path)
    return entry?.before === null && standingOf(entry, files.read(path)) === 'ours'
  }
  return {
    read(path) {
      const entry = byPath.get(path)
      return textOf(
        path,
        baseOf(entry, files.read(path), () => keptOf(entry, kept)),
      )
    },
    list: (path) => files.list(path).filter((name) => !isOnlyOurs(`${path}/${name}`)),
    hasFolder: (path) => files.hasFolder(path),
    isOfHost: (path) => notMounted(files, path, PARENT) === undefined,
  }
}

export function keptOf(entry: InstalledFile | undefined, kept: (sha256: string) => Buffer): Content {
  return entry === undefined || entry.before === null ? undefined : kept(entry.before)
}

function textOf(path: string, content: Content): string | undefined {
  if (content === undefined) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  } catch (cause) {
    throw new HostFileError(path, 'is not UTF-8 text; mend it and run this again', { cause })
  }
}
