/**
 * Makes the changes that were decided, so that a run which ends in the middle can be gone on with: backups first, then a record
 * of what was and of what is about to be, then the files, then the record of what is.
 */
import type { Content } from './decisions.ts'
import { HostFileError } from './errors.ts'
import type { HostFiles } from './host-files.ts'
import { type InstalledFile, sha256Of } from './record.ts'
import type { FileReport } from './report.ts'
import type { State } from './state.ts'
import type { Runtime } from './wish.ts'

/** One file, and what the record says of it then. */
export interface Change {
  readonly path: string
  readonly runtimes: readonly Runtime[]
  /** What was there when it was decided. */
  readonly current: Content
  /** What is to be there; undefined: no file. Absent: nothing is written. */
  readonly write?: { readonly content: Content }
  /** What was there before Shoal, where it is not kept yet. */
  readonly backup?: Buffer
  /** In the record afterwards; undefined: it knows the file no more. */
  readonly entry: InstalledFile | undefined
  readonly report: FileReport | undefined
}

/** @returns what became of the files, in their order */
export function makeChanges(
  files: HostFiles,
  state: State,
  changes: readonly Change[],
): readonly FileReport[] {
  const before = state.record
  const writes = changes.filter(({ write }) => write !== undefined)
  if (writes.length > 0) {
    for (const { backup } of changes) if (backup !== undefined) state.keep(backup)
    const folders = writes.flatMap(({ path, write }) =>
      write?.content === undefined ? [] : files.missingFolders(path),
    )
    state.save({
      ...before,
      folders: [...new Set([...before.folders, ...folders])],
      files: replaced(before.files, changes, provisional),
    })
  }
  const failures = new Map<Change, string>()
  for (const change of writes) {
    const failure = make(files, change)
    if (failure !== undefined) failures.set(change, failure)
  }
  const entries = replaced(before.files, changes, (entry, change) =>
    failures.has(change) ? afterFailure(files, entry, change) : change.entry,
  )
  const { folders, reports } = withoutEmpty(files, state.record.folders, entries)
  try {
    state.save({ ...before, folders, files: entries })
    state.tidy()
  } catch (error) {
    // The record is right as far as it goes, and the next run goes on from there.
    if (!(error instanceof HostFileError)) throw error
    reports.push({ path: error.path, runtimes: [], outcome: 'left', detail: error.reason })
  }
  const made = changes.flatMap((change): readonly FileReport[] => {
    const failure = failures.get(change)
    const { path, report } = change
    if (failure !== undefined)
      return [{ path, runtimes: change.runtimes, outcome: 'left' as const, detail: failure }]
    return report === undefined ? [] : [report]
  })
  return [...made, ...reports]
}

/** @returns why it could not be made */
function make(files: HostFiles, { path, current, write }: Change): string | undefined {
  try {
    // Planning took some milliseconds; an editor may have saved meanwhile.
    if (!isSame(files.read(path), current)) return 'was changed while this ran; run this again'
    const content = write?.content
    if (content === undefined) files.remove(path)
    else {
      for (const folder of files.missingFolders(path)) files.makeFolder(folder)
      files.write(path, content)
    }
    return undefined
  } catch (error) {
    if (error instanceof HostFileError) return error.reason
    throw error
  }
}

/** While it is not known whether the file was come to: as it was is right, and as it shall be. */
function provisional(entry: InstalledFile | undefined, change: Change): InstalledFile | undefined {
  if (change.write === undefined) return change.entry ?? entry
  if (change.entry === undefined) return entry
  const isContinued = entry !== undefined && entry.before === change.entry.before
  const ours = isContinued ? [...new Set([...entry.ours.slice(-6), ...change.entry.ours])] : change.entry.ours
  return { ...change.entry, ours }
}

function afterFailure(
  files: HostFiles,
  entry: InstalledFile | undefined,
  change: Change,
): InstalledFile | undefined {
  try {
    if (isSame(files.read(change.path), change.current)) return entry
  } catch (error) {
    if (!(error instanceof HostFileError)) throw error
  }
  return provisional(entry, change)
}

function replaced(
  entries: readonly InstalledFile[],
  changes: readonly Change[],
  by: (entry: InstalledFile | undefined, change: Change) => InstalledFile | undefined,
): InstalledFile[] {
  const changed = new Map(changes.map((change) => [change.path, change]))
  const kept = entries.flatMap((entry) => {
    const change = changed.get(entry.path)
    if (change === undefined) return [entry]
    changed.delete(entry.path)
    return by(entry, change) ?? []
  })
  return [...kept, ...[...changed.values()].flatMap((change) => by(undefined, change) ?? [])]
}

/** Folders that were made and hold nothing any more go. Where no file is left, those that hold something are forgotten. */
function withoutEmpty(
  files: HostFiles,
  folders: readonly string[],
  entries: readonly InstalledFile[],
): { folders: string[]; reports: FileReport[] } {
  const reports: FileReport[] = []
  const innermostFirst = folders.toSorted((a, b) => b.length - a.length)
  const gone = innermostFirst.filter((folder) => {
    const isAbove = ({ path }: { path: string }) => path.startsWith(`${folder}/`)
    if (entries.some(isAbove) || reports.some(isAbove)) return false
    try {
      return files.removeFolderIfEmpty(folder) || entries.length === 0
    } catch (error) {
      if (!(error instanceof HostFileError)) throw error
      reports.push({ path: folder, runtimes: [], outcome: 'left', detail: error.reason })
      return false
    }
  })
  return { folders: folders.filter((folder) => !gone.includes(folder)), reports }
}

function isSame(a: Content, b: Content): boolean {
  return a === undefined || b === undefined ? a === b : a.equals(b)
}

export function entryOf(init: {
  path: string
  runtimes: readonly Runtime[]
  before: Content
  content: Buffer
  agent: string
  marks: readonly string[]
}): InstalledFile {
  const { path, runtimes, before, content, agent, marks } = init
  return {
    path,
    runtimes: [...runtimes],
    before: before === undefined ? null : sha256Of(before),
    ours: [sha256Of(content)],
    agent,
    marks: [...marks],
  }
}
