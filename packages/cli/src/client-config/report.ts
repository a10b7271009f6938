/** What a run did, for people. Pure. */
import type { Runtime } from './wish.ts'

export interface FileReport {
  readonly path: string
  readonly runtimes: readonly Runtime[]
  readonly outcome: 'written' | 'unchanged' | 'taken back' | 'left'
  /** Why, and what to do where something was left. */
  readonly detail?: string
}

export interface ClientReport {
  readonly files: readonly FileReport[]
  readonly notes: readonly string[]
}

/** Whether everything is as it was asked for. */
export function isComplete({ files }: ClientReport): boolean {
  return files.every(({ outcome }) => outcome !== 'left')
}

export function reportLines({ files, notes }: ClientReport): readonly string[] {
  return [
    ...files.map(({ outcome, path, detail }) =>
      line(outcome, detail === undefined ? path : `${path}: ${detail}`),
    ),
    ...notes.map((note) => line('note', note)),
    ...reloads(files).map((command) => line('to do', command)),
  ]
}

/** Shoal restarts nothing by itself. containerd reads `hosts.toml` at each pull, podman everything. */
function reloads(files: readonly FileReport[]): readonly string[] {
  const changed = files.filter(({ outcome }) => outcome === 'written' || outcome === 'taken back')
  const has = (runtime: Runtime) =>
    changed.some(({ runtimes, path }) => runtimes.includes(runtime) && !path.endsWith('/hosts.toml'))
  return [
    ...(has('containerd') ? ['systemctl restart containerd (running containers go on)'] : []),
    ...(has('crio') ? ['systemctl reload crio'] : []),
    ...(has('docker') ? ['systemctl reload docker'] : []),
  ]
}

function line(word: string, text: string): string {
  return `${word.padEnd(10)}  ${text}`
}
