/** What a run did, for people. Pure. */
import type { Runtime } from './wish.ts'

export interface FileReport {
  readonly path: string
  readonly runtimes: readonly Runtime[]
  readonly outcome: 'written' | 'unchanged' | 'taken back' | 'left'
  /** Why, and what to do where something was left. */
  readonly detail?: string
  /** Commands after which the clients have heard of it. */
  readonly toDo?: readonly string[]
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
    ...new Set(files.flatMap(({ toDo = [] }) => toDo.map((command) => line('to do', command)))),
  ]
}

/**
 * What has to be done after a file was written; Shoal restarts nothing by itself. containerd reads `hosts.toml` at each pull,
 * podman everything.
 *
 * @param after what the file holds now; undefined: it is gone
 */
export function toDoAfter(
  path: string,
  runtimes: readonly Runtime[],
  after: string | undefined,
): readonly string[] {
  const toDo: string[] = []
  if (runtimes.includes('containerd') && !path.endsWith('/hosts.toml'))
    toDo.push('systemctl restart containerd (running containers go on)')
  if (runtimes.includes('crio')) toDo.push('systemctl reload crio')
  // A reload passes over a setting that is not in the file.
  if (runtimes.includes('docker') && after?.includes('"registry-mirrors"') !== true)
    toDo.push(
      'systemctl restart docker (until then it asks the agent first still, and goes on to Docker Hub at once)',
    )
  else if (runtimes.includes('docker')) toDo.push('systemctl reload docker')
  return toDo
}

function line(word: string, text: string): string {
  return `${word.padEnd(10)}  ${text}`
}
