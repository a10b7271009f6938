/**
 * A private Docker Engine: own data, own sockets, no bridge and no packet filter, so that it runs in a sandbox and
 * beside the machine's own engine. Containers get `--network none` or `--network host`.
 * Needs root. Its containerd and its containers end with it.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { programPaths } from './components.ts'
import {
  type CommandOptions,
  type CommandOutput,
  type RunningProcess,
  runProcess,
  startProcess,
} from './process.ts'
import { untilReady } from './readiness.ts'
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts'

export interface DockerdInit {
  /** `host:port` of registries that speak plain HTTP; those in 127.0.0.0/8 and `localhost` need no mention. */
  readonly insecureRegistries?: readonly string[]
  /** Asked first for images of Docker Hub. */
  readonly registryMirrors?: readonly string[]
  /** Anything else for dockerd's command line. */
  readonly args?: readonly string[]
  /** Over this process's own environment: a proxy, say. */
  readonly env?: Readonly<Record<string, string>>
}

export interface Dockerd extends AsyncDisposable {
  /** For DOCKER_HOST. */
  readonly socketUrl: string
  /** DOCKER_HOST and DOCKER_CONFIG for programs that start `docker` themselves. */
  readonly environment: Readonly<Record<string, string>>
  readonly storageDriver: string
  /** The program that `docker` runs: the one of the daemon's own version. */
  readonly client: string
  readonly pid: number
  /** The daemon's own log lines. */
  readonly lines: readonly string[]
  /** Runs the client. @throws ProcessEndedError, with what it wrote, when it fails */
  docker(args: readonly string[], options?: CommandOptions): Promise<CommandOutput>
  stop(): Promise<void>
}

const READY_TIMEOUT_MS = 30_000
// The daemon would wait ten seconds for a container that ignores SIGTERM, as most first processes do; those that are
// still there end with the folder.
const STOP_TIMEOUT_MS = 2_500
// overlay2 wants a file system beneath it that is not itself an overlay; vfs copies, and works everywhere.
const STORAGE_DRIVERS = ['overlay2', 'vfs']

/** @throws ProcessEndedError with the daemon's last lines when it comes up with no storage driver */
export async function startDockerd(init: DockerdInit = {}): Promise<Dockerd> {
  const { daemon: program, client } = await chooseBinaries()
  const folder = await temporaryFolder('dockerd')
  let failure: unknown
  for (const storageDriver of STORAGE_DRIVERS) {
    const daemon = await launch(program, folder, storageDriver, init)
    const engine = engineOf({ client, folder, daemon, storageDriver })
    try {
      const ask = async () =>
        (await engine.docker(['version'], { timeoutMs: 5_000 })).stdout.includes('Server')
      await untilReady(daemon, 'dockerd', READY_TIMEOUT_MS, ask)
      return engine
    } catch (error) {
      failure = error
      await daemon.stop()
    }
  }
  await folder.remove()
  throw failure
}

async function launch(
  program: string,
  folder: TemporaryFolder,
  storageDriver: string,
  { insecureRegistries = [], registryMirrors = [], args = [], env = {} }: DockerdInit,
): Promise<RunningProcess> {
  const path = (name: string) => join(folder.path, name)
  await mkdir(path('client'), { recursive: true })
  // The machine's own settings are not for this one.
  await writeFile(path('daemon.json'), '{}')
  const flags = {
    'config-file': path('daemon.json'),
    'data-root': path('data'),
    'exec-root': path('exec'),
    pidfile: path('dockerd.pid'),
    host: `unix://${path('docker.sock')}`,
    'storage-driver': storageDriver,
    bridge: 'none',
    iptables: 'false',
    ip6tables: 'false',
    'ip-masq': 'false',
    'cgroup-parent': `/${basename(folder.path)}`,
  }
  const words = [
    ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
    ...insecureRegistries.map((host) => `--insecure-registry=${host}`),
    ...registryMirrors.map((url) => `--registry-mirror=${url}`),
    ...args,
  ]
  return startProcess(program, words, { stopTimeoutMs: STOP_TIMEOUT_MS, env })
}

function engineOf(parts: {
  client: string
  folder: TemporaryFolder
  daemon: RunningProcess
  storageDriver: string
}): Dockerd {
  const { client, folder, daemon, storageDriver } = parts
  const socketUrl = `unix://${join(folder.path, 'docker.sock')}`
  const environment = { DOCKER_HOST: socketUrl, DOCKER_CONFIG: join(folder.path, 'client') }
  const stop = async () => {
    await daemon.stop()
    await folder.remove()
  }
  const alone = { DOCKER_CONTEXT: undefined, DOCKER_TLS_VERIFY: undefined, DOCKER_CERT_PATH: undefined }
  return {
    socketUrl,
    environment,
    storageDriver,
    client,
    pid: daemon.pid,
    lines: daemon.lines,
    docker: (args, options = {}) =>
      runProcess(client, args, { ...options, env: { ...alone, ...environment, ...options.env } }),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/**
 * A machine may have a second, newer client (say, of a desktop product) before Debian's on PATH, and a new client may
 * refuse an old daemon: the client of the daemon's own version is taken, otherwise the first.
 */
async function chooseBinaries(): Promise<{ daemon: string; client: string }> {
  const [daemon] = programPaths('dockerd')
  const clients = programPaths('docker')
  if (daemon === undefined || clients[0] === undefined) throw new Error('dockerd or docker is not on PATH')
  const wanted = await versionOf(daemon)
  for (const client of clients) {
    if ((await versionOf(client)) === wanted) return { daemon, client }
  }
  return { daemon, client: clients[0] }
}

/** `Docker version 20.10.24+dfsg1, build 297e128` → `20.10.24+dfsg1` */
async function versionOf(program: string): Promise<string | undefined> {
  const { stdout } = await runProcess(program, ['--version'], { timeoutMs: 10_000 })
  return /version ([^,\s]+)/.exec(stdout)?.[1]
}
