/**
 * Folders for fixtures. Removing one also ends what still runs there; whatever a test process leaves behind, because it
 * failed, was interrupted or killed, is removed by the reaper within a second or two of its end.
 */
import { spawn } from 'node:child_process'
import { mkdtemp } from 'node:fs/promises'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { removeWithTraces } from './folder-traces.ts'

export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string
  /** Ends what still runs there, unmounts, deletes. Safe to call twice. */
  remove(): Promise<void>
}

/** @param label part of the folder's name, for people who look into the temporary folder */
export async function temporaryFolder(label: string): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), `shoal-${label}-`))
  tellReaper(`+${path}`)
  const remove = async () => {
    await removeWithTraces(path)
    tellReaper(`-${path}`)
  }
  return { path, remove, [Symbol.asyncDispose]: remove }
}

let reaperInput: NodeJS.WritableStream | undefined

function tellReaper(line: string): void {
  reaperInput ??= startReaper()
  reaperInput.write(`${line}\n`)
}

function startReaper(): NodeJS.WritableStream {
  const program = fileURLToPath(new URL('folder-reaper.ts', import.meta.url))
  // In a session of its own: an interrupt from the terminal must not end it with the tests.
  const reaper = spawn(process.execPath, [program], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  reaper.unref()
  // The test process may end while the reaper still listens; that end is what it listens for.
  if (reaper.stdin instanceof Socket) reaper.stdin.unref()
  return reaper.stdin
}
