/** Has the clients of a host ask the agent first. */
import { InvariantError } from '@shoal/core'
import { type Change, entryOf, makeChanges } from './changes.ts'
import { planContainerd } from './containerd/containerd.ts'
import { planContainers } from './containers/containers.ts'
import { type Content, decideInstall, decideTakeBack } from './decisions.ts'
import { planDocker } from './docker/docker.ts'
import { HostFileError, RuntimeRefusedError } from './errors.ts'
import type { HostFiles } from './host-files.ts'
import { filesBelow, notMounted } from './host-root.ts'
import { hostView, keptOf } from './host-view.ts'
import type { HostView, RuntimePlan, WantedFile } from './plan.ts'
import { emptyRecord, type InstalledFile, type InstallRecord, sha256Of } from './record.ts'
import { type ClientReport, type FileReport, toDoAfter } from './report.ts'
import { hasState, openState, PARENT } from './state.ts'
import { parseWish, type Runtime, type Wish } from './wish.ts'

export interface InstallRequest {
  readonly runtimes: readonly Runtime[]
  /** `127.0.0.1:5001` */
  readonly agent: string
  /** As `--registries` has it. */
  readonly registries: string
  /** Where the host's file system is. */
  readonly root: string
}

export interface RunParts {
  /** Told of every change to the file system right before it is made. */
  readonly onChange?: (change: string) => void
}

interface Prepared {
  readonly changes: readonly Change[]
  readonly notes: readonly string[]
}

/** Runtimes that share files. */
const GROUPS: readonly (readonly Runtime[])[] = [['containerd'], ['crio', 'podman'], ['docker']]

/** @throws ClientWishError, ClientConfigError when nothing was done at all */
export function installClient(request: InstallRequest, { onChange }: RunParts = {}): ClientReport {
  const wish = parseWish(request.agent, request.registries)
  const files = filesBelow(request.root, onChange)
  if (!hasState(files)) {
    // Where nothing has to be written, nothing has to be remembered.
    const { changes, notes } = prepare(files, emptyRecord(false), unkept, wish, request.runtimes)
    if (changes.every(({ write }) => write === undefined)) return reportOf(changes, notes)
  }
  const state = openState(files)
  try {
    const kept = (sha256: string) => state.kept(sha256)
    const { changes, notes } = prepare(files, state.record, kept, wish, request.runtimes)
    return { files: makeChanges(files, state, changes), notes }
  } finally {
    state.release()
  }
}

function prepare(
  files: HostFiles,
  record: InstallRecord,
  kept: (sha256: string) => Buffer,
  wish: Wish,
  asked: readonly Runtime[],
): Prepared {
  const view = hostView(files, record, kept)
  const changes: Change[] = []
  const notes: string[] = []
  for (const group of GROUPS) {
    if (!group.some((runtime) => asked.includes(runtime))) continue
    const owners = group.filter(
      (runtime) => asked.includes(runtime) || record.files.some((entry) => entry.runtimes.includes(runtime)),
    )
    try {
      const plan = planOf(view, wish, owners)
      changes.push(...changesOf(files, record, kept, plan, { owners, agent: wish.agent }))
      notes.push(...plan.notes)
    } catch (error) {
      if (!(error instanceof RuntimeRefusedError || error instanceof HostFileError)) throw error
      const entry = record.files.find(({ path }) => path === error.path)
      changes.push(nothing(error.path, owners, entry, { outcome: 'left', detail: error.reason }))
    }
  }
  return { changes, notes }
}

function planOf(view: HostView, wish: Wish, owners: readonly Runtime[]): RuntimePlan {
  if (owners.includes('containerd')) return planContainerd(view, wish)
  if (owners.includes('docker')) return planDocker(wish)
  return planContainers(view, wish, owners)
}

function changesOf(
  files: HostFiles,
  record: InstallRecord,
  kept: (sha256: string) => Buffer,
  plan: RuntimePlan,
  { owners, agent }: { owners: readonly Runtime[]; agent: string },
): readonly Change[] {
  const entryAt = (path: string) => record.files.find((entry) => entry.path === path)
  const wanted = plan.files.map((file) => {
    const entry = entryAt(file.path)
    try {
      const obstacle = notMounted(files, file.path, PARENT)
      if (obstacle !== undefined)
        return nothing(file.path, owners, entry, { outcome: 'left', detail: obstacle })
      return changeFor(file, agent, entry, files.read(file.path), () => keptOf(entry, kept))
    } catch (error) {
      if (!(error instanceof HostFileError)) throw error
      return nothing(file.path, owners, entry, { outcome: 'left', detail: error.reason })
    }
  })
  const blocked = plan.blocked.map(({ path, reason }) =>
    nothing(path, owners, entryAt(path), { outcome: 'left', detail: reason }),
  )
  const paths = new Set([...wanted, ...blocked].map(({ path }) => path))
  const obsolete = record.files
    .filter((entry) => !paths.has(entry.path) && entry.runtimes.some((runtime) => owners.includes(runtime)))
    .map((entry) => takeBack(files, entry, kept))
  return [...wanted, ...blocked, ...obsolete]
}

function changeFor(
  wanted: WantedFile,
  agent: string,
  entry: InstalledFile | undefined,
  current: Content,
  kept: () => Content,
): Change {
  const { path, runtimes, marks } = wanted
  const decision = decideInstall(wanted, entry, current, kept)
  if (decision.kind === 'left')
    return nothing(path, runtimes, entry, { outcome: 'left', detail: decision.reason })
  if (decision.kind === 'write') {
    const { content, base } = decision
    // The file that was there says by itself what it should, so Shoal gives up its claim on it.
    const isBase = base?.equals(content) === true
    return {
      path,
      runtimes,
      current,
      write: { content },
      ...(base !== undefined && { backup: base }),
      entry: isBase ? undefined : entryOf({ path, runtimes, before: base, content, agent, marks }),
      report: { path, runtimes, outcome: 'written', toDo: toDoAfter(path, runtimes, content.toString()) },
    }
  }
  const { detail } = decision
  // A file of Shoal's own that says what it should is Shoal's, whoever wrote it last.
  const ours = marks.length === 0 && current !== undefined ? [sha256Of(current)] : entry?.ours
  const known = entry && {
    ...entry,
    runtimes: [...runtimes],
    agent,
    marks: [...marks],
    ours: ours ?? entry.ours,
  }
  return nothing(path, runtimes, known, { outcome: 'unchanged', ...(detail !== undefined && { detail }) })
}

/** What becomes of a file that Shoal wrote and nobody wants any more. */
export function takeBack(files: HostFiles, entry: InstalledFile, kept: (sha256: string) => Buffer): Change {
  const { path, runtimes } = entry
  try {
    const current = files.read(path)
    const decision = decideTakeBack(entry, current)
    if (decision.kind === 'left')
      return nothing(path, runtimes, entry, { outcome: 'left', detail: decision.reason })
    if (decision.kind === 'forget')
      return nothing(path, runtimes, undefined, { outcome: 'unchanged', detail: decision.detail })
    const before = keptOf(entry, kept)
    return {
      path,
      runtimes,
      current,
      write: { content: before },
      entry: undefined,
      report: { path, runtimes, outcome: 'taken back', toDo: toDoAfter(path, runtimes, before?.toString()) },
    }
  } catch (error) {
    if (!(error instanceof HostFileError)) throw error
    return nothing(path, runtimes, entry, { outcome: 'left', detail: error.reason })
  }
}

export function nothing(
  path: string,
  runtimes: readonly Runtime[],
  entry: InstalledFile | undefined,
  report: Pick<FileReport, 'outcome' | 'detail'>,
): Change {
  return { path, runtimes, current: undefined, entry, report: { path, runtimes, ...report } }
}

function reportOf(changes: readonly Change[], notes: readonly string[]): ClientReport {
  return { files: changes.flatMap(({ report }) => report ?? []), notes }
}

function unkept(): never {
  throw new InvariantError('nothing was installed, so nothing is kept')
}
