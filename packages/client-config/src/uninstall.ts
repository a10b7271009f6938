/** Takes back what was installed. */
import { type Change, makeChanges } from './changes.ts'
import { filesBelow } from './host-root.ts'
import { nothing, type RunParts, takeBack } from './install.ts'
import type { ClientReport } from './report.ts'
import { hasState, openState } from './state.ts'
import { RUNTIMES, type Runtime } from './wish.ts'

export interface UninstallRequest {
  /** None: all. */
  readonly runtimes?: readonly Runtime[]
  readonly root: string
}

/** @throws ClientConfigError when nothing was done at all */
export function uninstallClient(request: UninstallRequest, { onChange }: RunParts = {}): ClientReport {
  const files = filesBelow(request.root, onChange)
  const asked = request.runtimes ?? RUNTIMES
  if (!hasState(files)) return { files: [], notes: absent(request.runtimes) }
  const state = openState(files)
  try {
    const { record } = state
    const kept = (sha256: string) => state.kept(sha256)
    const used = new Set(record.files.flatMap(({ runtimes }) => runtimes))
    const changes = record.files
      .filter(({ runtimes }) => runtimes.some((runtime) => asked.includes(runtime)))
      .map((entry): Change => {
        const others = entry.runtimes.filter((runtime) => !asked.includes(runtime))
        if (others.length === 0) return takeBack(files, entry, kept)
        const detail = `stays for ${others.join(' and ')}, which reads it too`
        return nothing(entry.path, others, { ...entry, runtimes: others }, { outcome: 'unchanged', detail })
      })
    const missing = (request.runtimes ?? []).filter((runtime) => !used.has(runtime))
    const notes = missing.length === 0 ? [] : absent(missing)
    return { files: makeChanges(files, state, changes), notes }
  } finally {
    state.release()
  }
}

function absent(runtimes: readonly Runtime[] | undefined): readonly string[] {
  if (runtimes === undefined) return ['nothing of Shoal is installed for the clients of this host']
  return runtimes.map((runtime) => `nothing of Shoal is installed for ${runtime}`)
}
