/** A private containerd with its client `ctr`: own root, state and socket, no CRI. Needs root. */
import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type CommandOptions, type CommandOutput, runProcess, startProcess } from './process.ts'
import { untilReady } from './readiness.ts'
import { temporaryFolder } from './temporary-folder.ts'

export interface Containerd extends AsyncDisposable {
  /** Path of the socket. */
  readonly address: string
  readonly pid: number
  /** A folder for registry hosts (`<host>/hosts.toml`), empty at first; name it to ctr with `--hosts-dir`. */
  readonly hostsFolder: string
  readonly lines: readonly string[]
  /** Runs `ctr` against this daemon. @throws ProcessEndedError, with what it wrote, when it fails */
  ctr(args: readonly string[], options?: CommandOptions): Promise<CommandOutput>
  /**
   * Runs a container of a pulled image to its end, without a network.
   * `ctr run` on its own keeps its state in folders that all containerds of the machine share.
   * @param args in the place of the image's command, entrypoint included
   */
  run(image: string, args?: readonly string[], options?: CommandOptions): Promise<CommandOutput>
  stop(): Promise<void>
}

const READY_TIMEOUT_MS = 30_000

export async function startContainerd(): Promise<Containerd> {
  const folder = await temporaryFolder('containerd')
  const path = (name: string) => join(folder.path, name)
  const address = path('containerd.sock')
  await mkdir(path('hosts'))
  await writeFile(path('config.toml'), toml(folder.path, address))
  const daemon = startProcess('containerd', ['--config', path('config.toml')])
  const ctr: Containerd['ctr'] = (args, options) =>
    runProcess('ctr', ['--address', address, ...args], options)
  const run: Containerd['run'] = (image, args = [], options) => {
    const places = {
      'runc-root': path('runc'),
      'fifo-dir': path('fifo'),
      cgroup: `/${basename(folder.path)}/run`,
    }
    const flags = Object.entries(places).map(([flag, value]) => `--${flag}=${value}`)
    return ctr(['run', '--rm', ...flags, image, `run-${randomUUID()}`, ...args], options)
  }
  const stop = async () => {
    await daemon.stop()
    await folder.remove()
  }
  try {
    const ask = async () => (await ctr(['version'], { timeoutMs: 5_000 })).stdout.includes('Server')
    await untilReady(daemon, 'containerd', READY_TIMEOUT_MS, ask)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    address,
    pid: daemon.pid,
    hostsFolder: path('hosts'),
    lines: daemon.lines,
    ctr,
    run,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

function toml(folder: string, address: string): string {
  return `version = 2
root = "${folder}/root"
state = "${folder}/state"
# Kubernetes' interface wants a network; the others want devices that a sandbox lacks.
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "${address}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${folder}/opt"
`
}
