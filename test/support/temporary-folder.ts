/**
 * Folders for fixtures, with an end that leaves nothing: processes that were started on the folder and outlived their
 * parent (container shims, containers), mounts inside it (overlays, network namespaces), then the files.
 * Moves files and signals; everything it ends is recognised by the folder's own random name.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string
  /** Ends what still runs there, unmounts, deletes. Safe to call twice. */
  remove(): Promise<void>
}

const DYING_MAX_MS = 5_000

/** @param label part of the folder's name, for people who look into the temporary folder */
export async function temporaryFolder(label: string): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), `shoal-${label}-`))
  removeAtExit(path)
  const remove = async () => {
    await endProcesses(path)
    unmountAll(path)
    await rm(path, { recursive: true, force: true, maxRetries: 5 })
    leftovers.delete(path)
  }
  return { path, remove, [Symbol.asyncDispose]: remove }
}

/** The same for callers that cannot wait, such as a suite's body; the folder goes when the process ends. */
export function temporaryFolderUntilExit(label: string): string {
  const path = mkdtempSync(join(tmpdir(), `shoal-${label}-`))
  removeAtExit(path)
  return path
}

const leftovers = new Set<string>()

function removeAtExit(path: string): void {
  if (leftovers.size === 0) process.once('exit', removeLeftovers)
  leftovers.add(path)
}

function removeLeftovers(): void {
  for (const path of leftovers) {
    for (const pid of processesOf(path)) kill(pid)
    unmountAll(path)
    rmSync(path, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function endProcesses(path: string): Promise<void> {
  const deadline = Date.now() + DYING_MAX_MS
  for (let pids = processesOf(path); pids.length > 0 && Date.now() < deadline; pids = processesOf(path)) {
    pids.forEach(kill)
    await delay(20)
  }
}

/** Processes that name the folder on their command line, or whose root file system lies in it (containers). */
function processesOf(path: string): number[] {
  return procEntries().filter((pid) => {
    if (pid === process.pid) return false
    const commandLine = readProc(`${pid}/cmdline`)
    if (commandLine.split('\0').some((word) => word.includes(path))) return true
    // `36 35 98:0 /root /mount-point options … overlay overlay lowerdir=…`: a container sees its root at `/`.
    return readProc(`${pid}/mountinfo`)
      .split('\n')
      .some((line) => line.split(' ')[4] === '/' && line.includes(path))
  })
}

function unmountAll(path: string): void {
  const inside = readProc('self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((mountPoint) => mountPoint.startsWith(`${path}/`))
  // Later mounts may lie inside earlier ones.
  for (const mountPoint of inside.reverse()) {
    try {
      execFileSync('umount', ['--lazy', mountPoint], { stdio: 'ignore' })
    } catch {
      // Gone with the mount around it; what is really stuck shows when the files are deleted.
    }
  }
}

function procEntries(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger)
  } catch {
    return []
  }
}

function readProc(name: string): string {
  try {
    return readFileSync(`/proc/${name}`, 'utf8')
  } catch {
    return ''
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}
