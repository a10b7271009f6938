/**
 * Removes a fixture's folder and all that hangs on it: processes that were started on the folder and outlived their
 * parent (container shims, containers), mounts inside it (overlays, network namespaces), control groups of its name.
 * Everything is recognised by the folder's own random name; nothing else is touched.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const DYING_MAX_MS = 5_000
const DYING_PAUSE_MS = 20

/** @param path an absolute path, made by `mkdtemp`. Safe to call twice. */
export async function removeWithTraces(path: string): Promise<void> {
  await endProcesses(path)
  unmountAll(path)
  removeControlGroups(basename(path))
  await rm(path, { recursive: true, force: true, maxRetries: 5 })
}

async function endProcesses(path: string): Promise<void> {
  const deadlineMs = performance.now() + DYING_MAX_MS
  for (let pids = processesOf(path); pids.length > 0; pids = processesOf(path)) {
    for (const pid of pids) {
      removeShimSocket(pid)
      kill(pid)
    }
    if (performance.now() > deadlineMs) return
    await delay(DYING_PAUSE_MS)
  }
}

/** Processes that name the folder on their command line, or whose root file system lies in it (containers). */
function processesOf(path: string): number[] {
  return processIds().filter((pid) => {
    if (pid === process.pid) return false
    if (read(`/proc/${pid}/cmdline`).includes(path)) return true
    // `36 35 98:0 /root /mount-point options … overlay overlay lowerdir=…`: a container's own root is at `/`.
    return mounts(pid).some(({ mountPoint, line }) => mountPoint === '/' && line.includes(path))
  })
}

/**
 * containerd's shims listen in one folder for the whole machine, on a name that follows from what they were started with
 * (containerd's runtime/v2/shim, `SocketAddress`); one that is killed leaves its socket there.
 */
function removeShimSocket(pid: number): void {
  const words = read(`/proc/${pid}/cmdline`).split('\0')
  const after = (flag: string) => (words.includes(flag) ? words[words.indexOf(flag) + 1] : undefined)
  const place = [after('-address'), after('-namespace'), after('-id')]
  if (place.includes(undefined)) return
  const name = createHash('sha256').update(place.join('/')).digest('hex')
  rmSync(`/run/containerd/s/${name}`, { force: true })
}

function unmountAll(path: string): void {
  const inside = mounts('self').filter(({ mountPoint }) => mountPoint.startsWith(`${path}/`))
  // Later mounts may lie inside earlier ones.
  for (const { mountPoint } of inside.reverse()) {
    try {
      execFileSync('umount', ['--lazy', mountPoint], { stdio: 'ignore' })
    } catch {
      // Gone with the mount around it; what is really stuck shows when the files are deleted.
    }
  }
}

/** The groups of a daemon that was given the folder's name as its parent group: one per controller in version 1. */
function removeControlGroups(name: string): void {
  const root = '/sys/fs/cgroup'
  for (const hierarchy of [root, ...folders(root)]) removeGroup(join(hierarchy, name))
}

function removeGroup(group: string): void {
  for (const child of folders(group)) removeGroup(child)
  try {
    rmdirSync(group)
  } catch {
    // There was none in this hierarchy.
  }
}

function mounts(pid: number | 'self'): { mountPoint: string; line: string }[] {
  const lines = read(`/proc/${pid}/mountinfo`).split('\n')
  return lines.map((line) => ({ mountPoint: line.split(' ')[4] ?? '', line }))
}

function processIds(): number[] {
  return folders('/proc')
    .map((path) => Number(basename(path)))
    .filter(Number.isInteger)
}

function folders(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(path, name))
  } catch {
    return []
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
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
