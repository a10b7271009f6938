/**
 * skopeo, podman and buildah with everything of their own in one temporary folder: storage, policy, registries, credentials.
 * All read registries through containers/image, the library that CRI-O uses as well.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type CommandOptions, type CommandOutput, runProcess } from './process.ts'
import { type TemporaryFolder, temporaryFolder } from './temporary-folder.ts'

export interface ContainersTool extends AsyncDisposable {
  /** A folder that goes away with the tool, for `oci:` and `dir:` images. */
  readonly folder: string
  /** The program with the flags that keep it in its folder, and the environment that does the rest: for scripts. */
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  /**
   * Runs the tool; registries are spoken to without TLS only where a command says so (`--tls-verify=false`,
   * `--src-tls-verify=false`) or `registries` says `insecure = true`.
   * @throws ProcessEndedError, with what it wrote, when it fails
   */
  run(args: readonly string[], options?: CommandOptions): Promise<CommandOutput>
  stop(): Promise<void>
}

export interface ContainersToolInit {
  /** The whole text of registries.conf: mirrors, insecure registries, what short names mean. */
  readonly registries?: string
  /** Whether signatures attached as `sha256-<hex>.sig` are read and written, as CRI-O is told to with sigstore. */
  readonly sigstoreAttachments?: boolean
}

export async function startSkopeo(init: ContainersToolInit = {}): Promise<ContainersTool> {
  const { folder, env } = await surroundings('skopeo', init)
  const flags = {
    policy: 'policy.json',
    tmpdir: 'tmp',
    'registries.d': 'registries.d',
    // skopeo 1.9 does not look at the variable.
    'registries-conf': 'registries.conf',
  }
  const global = Object.entries(flags).map(([flag, name]) => `--${flag}=${join(folder.path, name)}`)
  return tool({ folder, env, program: 'skopeo', global })
}

/**
 * podman needs root here. Containers get `--network none` or `--network host`.
 * @param init.storageDriver `vfs` unless told: it copies, and works on any file system
 */
export async function startPodman(
  init: ContainersToolInit & { storageDriver?: 'vfs' | 'overlay' } = {},
): Promise<ContainersTool> {
  const { folder, env } = await surroundings('podman', init)
  const flags = {
    root: join(folder.path, 'storage'),
    runroot: join(folder.path, 'run'),
    tmpdir: join(folder.path, 'libpod'),
    volumepath: join(folder.path, 'volumes'),
    'network-config-dir': join(folder.path, 'networks'),
    'storage-driver': init.storageDriver ?? 'vfs',
    'cgroup-manager': 'cgroupfs',
    'events-backend': 'none',
    'runtime-flag': `root=${join(folder.path, 'runc')}`,
  }
  const global = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)
  return tool({ folder, env, program: 'podman', global })
}

/** buildah, which needs root here as well; its containers are never run, only filled. */
export async function startBuildah(init: ContainersToolInit = {}): Promise<ContainersTool> {
  const { folder, env } = await surroundings('buildah', init)
  const flags = {
    root: join(folder.path, 'storage'),
    runroot: join(folder.path, 'run'),
    'storage-driver': 'vfs',
  }
  const global = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)
  return tool({ folder, env, program: 'buildah', global })
}

function tool(parts: {
  folder: TemporaryFolder
  env: Record<string, string>
  program: string
  global: readonly string[]
}): ContainersTool {
  const { folder, env, program, global } = parts
  return {
    folder: folder.path,
    command: [program, ...global],
    environment: env,
    run: (args, options = {}) =>
      runProcess(program, [...global, ...args], { ...options, env: { ...env, ...options.env } }),
    stop: folder.remove,
    [Symbol.asyncDispose]: folder.remove,
  }
}

async function surroundings(
  label: string,
  { registries = '', sigstoreAttachments = false }: ContainersToolInit,
): Promise<{ folder: TemporaryFolder; env: Record<string, string> }> {
  const folder = await temporaryFolder(label)
  const path = (name: string) => join(folder.path, name)
  // Where podman, which has no flag for it, looks for a policy before it looks at the machine's own.
  const ofUser = 'home/.config/containers'
  await Promise.all(
    ['tmp', 'xdg', 'registries.d', ofUser].map((name) => mkdir(path(name), { recursive: true })),
  )
  const policy = JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] })
  await Promise.all([
    writeFile(path('registries.conf'), registries),
    writeFile(path('containers.conf'), containersConf),
    writeFile(path('auth.json'), '{}'),
    writeFile(path('policy.json'), policy),
    writeFile(
      path('registries.d/default.yaml'),
      `default-docker:\n  use-sigstore-attachments: ${sigstoreAttachments}\n`,
    ),
    writeFile(path(`${ofUser}/policy.json`), policy),
    // skopeo's view of `containers-storage:`; podman's own flags say the same.
    writeFile(
      path('storage.conf'),
      `[storage]\ndriver = "vfs"\ngraphroot = "${path('storage')}"\nrunroot = "${path('run')}"\n`,
    ),
  ])
  const env = {
    CONTAINERS_REGISTRIES_CONF: path('registries.conf'),
    CONTAINERS_STORAGE_CONF: path('storage.conf'),
    CONTAINERS_CONF: path('containers.conf'),
    REGISTRY_AUTH_FILE: path('auth.json'),
    HOME: path('home'),
    XDG_RUNTIME_DIR: path('xdg'),
    TMPDIR: path('tmp'),
  }
  return { folder, env }
}

// podman wishes for a million open files, more than a sandbox may grant; and its locks would be shared memory of one
// name for the whole machine.
const containersConf = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
lock_type = "file"
`
