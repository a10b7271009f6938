/**
 * Goal: after `shoal install-client` the real clients get images through their node's agent by the names that people write;
 * without the agent they get them from the registry, at once; after `shoal uninstall-client` nothing tells that it was there.
 * Method: the command itself on a host's files in a temporary folder, and the clients told to read these. Docker Hub is a
 * registry of the test's own behind a proxy that counts; the way to the real one is closed and watched.
 */
import { mkdir, readFile, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { type HostTree, hostTree } from '../../packages/client-config/src/testing/host-tree.ts'
import type { Cluster, Node } from '../support/cluster.ts'
import { startContainerd } from '../support/containerd.ts'
import { type ContainersTool, startPodman, startSkopeo } from '../support/containers-image.ts'
import { describeWith } from '../support/describe-with.ts'
import { type MirroredDockerHub, startMirroredDockerHub, startOwnDockerHub } from '../support/docker-hub.ts'
import { startDockerd } from '../support/dockerd.ts'
import type { Image } from '../support/images.ts'
import { ProcessEndedError, runProcess } from '../support/process.ts'
import { pushImage } from '../support/push.ts'
import { runnableImage } from '../support/runnable-image.ts'
import { BIN } from '../support/shoal.ts'

const OFFICIAL = 'docker.io/library/app:1'
const ANOTHER = 'docker.io/org/app:1'
const HUB = 'registry-1.docker.io:443'
const CERTS = 'etc/containerd/certs.d'
/** What a person takes for an answer and not for a hang. */
const PROMPT_MS = 5_000
/** As Debian's containerd 1.6 brings it. */
const CONTAINERD_CONFIG = `version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd/opt"
`
const FILES = {
  '/etc/containerd/config.toml': CONTAINERD_CONFIG,
  '/etc/docker/daemon.json': '{\n    "registry-mirrors": [\n        "https://mirror.invalid"\n    ]\n}',
}

let registry: Cluster
let official: Image
let host: HostTree

beforeAll(async () => {
  registry = await startOwnDockerHub()
  official = await runnableImage({ args: ['official'] })
  await pushImage(registry.seeder.url, 'library/app', '1', official)
  await pushImage(registry.seeder.url, 'org/app', '1', await runnableImage({ args: ['of an organisation'] }))
})
afterAll(() => registry?.stop())
beforeEach(() => {
  host = hostTree(FILES)
})
afterEach(() => host[Symbol.dispose]())

const startHub = (seederArgs: readonly string[] = []) =>
  startMirroredDockerHub({ registryUrl: registry.seeder.url, agents: 1, seederArgs })

/** Runs `shoal` on a host's files. @returns its lines */
async function shoal(root: string, command: string, ...args: string[]): Promise<string[]> {
  const { stdout } = await runProcess(process.execPath, [BIN, command, '--root', root, ...args])
  return stdout.trimEnd().split('\n')
}

async function timed<T>(client: Promise<T>): Promise<number> {
  const begunAt = performance.now()
  await client
  return performance.now() - begunAt
}

/** All blobs came to the client from its agent, and to the agent from the swarm. */
async function expectServed(agent: Node, hub: MirroredDockerHub): Promise<void> {
  const bytes = official.blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  expect(await agent.metric('shoal_agent_served_bytes_total')).toBe(bytes)
  expect(hub.timesLeft('library/app', official)).toEqual(official.blobs.map(() => 1))
  expect(hub.outside.asked).toEqual([])
}

describeWith(['containerd', 'ldd'], 'containerd with certs.d', () => {
  it('pulls through the agent, without it from the registry, and has its files back', async () => {
    await using hub = await startHub()
    await using containerd = await startContainerd()
    const agent = hub.cluster.agents[0]!
    const before = host.picture()
    await shoal(
      host.root,
      'install-client',
      ...['--runtime', 'containerd', '--agent', agent.host],
      ...['--registries', `docker.io=${hub.proxy.url},registry.corp:5000=http://10.0.0.5:5000,*`],
    )
    const dump = await runProcess('containerd', [
      '--config',
      join(host.root, 'etc/containerd/config.toml'),
      'config',
      'dump',
    ])
    expect(dump.stdout).toMatch(/registry\]\n\s+config_path = "\/etc\/containerd\/certs\.d"\n/)
    expect(dump.stdout).toContain('bin_dir = "/usr/lib/cni"')
    const pull = (name: string) =>
      containerd.ctr(['images', 'pull', '--hosts-dir', join(host.root, CERTS), name], {
        env: hub.outside.environment,
      })
    await pull(OFFICIAL)
    expect((await containerd.run(OFFICIAL)).stdout.trim()).toBe('official')
    await expectServed(agent, hub)

    await agent.stop()
    expect(await timed(pull(ANOTHER))).toBeLessThan(PROMPT_MS)
    expect((await containerd.run(ANOTHER)).stdout.trim()).toBe('of an organisation')
    expect(hub.outside.asked).toEqual([])
    await shoal(host.root, 'uninstall-client')
    expect(host.picture()).toEqual(before)
  })
})

describeWith(['podman', 'skopeo', 'ldd'], 'podman and skopeo with registries.conf.d', () => {
  it.each<[string, () => Promise<ContainersTool>, (tool: ContainersTool, name: string) => readonly string[]]>(
    [
      ['podman', startPodman, (_, name) => ['pull', '--quiet', name]],
      [
        'skopeo',
        startSkopeo,
        ({ folder }, name) => ['copy', `docker://${name}`, `dir:${folder}/${name.length}`],
      ],
    ],
  )(
    '%s pulls through the agent, without it from the registry, and has its files back',
    async (_what, start, pulling) => {
      await using hub = await startHub()
      await using tool = await start()
      const agent = hub.cluster.agents[0]!
      // Where the tool looks for drop-ins of its own is what the link makes of /etc/containers.
      await mkdir(join(tool.folder, 'etc'))
      await mkdir(join(tool.folder, 'var/lib'), { recursive: true })
      await symlink('/home/.config/containers', join(tool.folder, 'etc/containers'))
      const dropIns = join(tool.folder, 'home/.config/containers/registries.conf.d')
      const registries = `docker.io=http://${hub.proxy.host}`
      const runtimes = ['--runtime', 'podman', '--runtime', 'crio']
      await shoal(
        tool.folder,
        'install-client',
        ...runtimes,
        '--agent',
        agent.host,
        '--registries',
        registries,
      )
      const pull = (name: string) => tool.run(pulling(tool, name), { env: hub.outside.environment })
      await pull(OFFICIAL)
      await expectServed(agent, hub)

      await agent.stop()
      expect(await timed(pull(ANOTHER))).toBeLessThan(PROMPT_MS)
      expect(hub.outside.asked).toEqual([])
      expect(await readFile(join(dropIns, '50-shoal.conf'), 'utf8')).toContain(agent.host)
      expect(await shoal(tool.folder, 'uninstall-client', '--runtime', 'crio')).toEqual([
        expect.stringMatching(/^unchanged .*: stays for podman/),
      ])
      await shoal(tool.folder, 'uninstall-client')
      await expect(readFile(dropIns)).rejects.toThrow('ENOENT')
    },
  )
})

describeWith(['dockerd', 'ldd'], 'Docker Engine with registry-mirrors', () => {
  it('hears of the agent by a reload, pulls through it, and has its file back', async () => {
    await using hub = await startHub(['--default-upstream', 'docker.io'])
    const agent = hub.cluster.agents[0]!
    const file = join(host.root, 'etc/docker/daemon.json')
    await using engine = await startDockerd({
      args: [`--config-file=${file}`],
      env: hub.outside.environment,
    })
    const docker = async (...args: string[]) => (await engine.docker(args)).stdout.trim()
    const mirrors = () => docker('info', '--format', '{{json .RegistryConfig.Mirrors}}')
    const before = host.picture()
    expect(await shoal(host.root, 'install-client', '--runtime', 'docker', '--agent', agent.host)).toEqual([
      'written     /etc/docker/daemon.json',
      'to do       systemctl reload docker',
    ])
    expect(await mirrors()).toBe('["https://mirror.invalid/"]')
    process.kill(engine.pid, 'SIGHUP')
    await expect
      .poll(mirrors, { timeout: 10_000, interval: 50 })
      .toBe(`["${agent.url}/","https://mirror.invalid/"]`)
    await docker('pull', 'library/app:1')
    expect(await docker('run', '--rm', '--network', 'none', 'library/app:1')).toBe('official')
    await expectServed(agent, hub)
    // By its name at the agent, without any setting.
    const port = agent.host.split(':')[1]
    expect(await docker('pull', `localhost:${port}/${ANOTHER}`)).toContain('Downloaded newer image')

    await agent.stop()
    const asked = engine.docker(['pull', 'library/nothing:1'])
    expect(await timed(expect(asked).rejects.toThrow(ProcessEndedError))).toBeLessThan(PROMPT_MS)
    expect(hub.outside.asked).toContain(HUB)
    await shoal(host.root, 'uninstall-client')
    expect(host.picture()).toEqual(before)
    process.kill(engine.pid, 'SIGHUP')
    await expect.poll(mirrors, { timeout: 10_000, interval: 50 }).toBe('["https://mirror.invalid/"]')
  })
})

describeWith(['network-namespaces'], 'in a container that sees some folders of the host', () => {
  /** A root of its own, which cannot be written, with these folders of the host below /mnt. */
  const inContainer = async (folders: readonly string[], ...args: string[]) => {
    const script = [
      'mount -t tmpfs tmpfs /mnt && mkdir -p /mnt/etc /mnt/var/lib',
      ...folders.map(
        (folder) => `mkdir -p /mnt/${folder} && mount --bind ${host.root}/${folder} /mnt/${folder}`,
      ),
      `exec ${process.execPath} ${BIN} "$@" --root /mnt`,
    ].join('\n')
    const run = runProcess('unshare', ['--mount', 'sh', '-euc', script, 'sh', ...args])
    const { stdout } = await run.catch((error: Error) => ({ stdout: error.message }))
    return stdout
  }

  it('writes to these and nowhere else, and takes back what was installed without it', async () => {
    await mkdir(join(host.root, 'var/lib/shoal'))
    const before = host.picture()
    const folders = ['etc/docker', 'var/lib/shoal']
    const done = await inContainer(folders, 'install-client', '--runtime', 'docker')
    expect(done).toMatch(/^written +\/etc\/docker\/daemon\.json$/m)
    expect(host.text('/etc/docker/daemon.json')).toContain('127.0.0.1:5001')
    await shoal(host.root, 'uninstall-client')
    expect(host.picture()).toEqual(before)

    await rm(join(host.root, 'var/lib/shoal'), { recursive: true })
    await shoal(host.root, 'install-client', '--runtime', 'docker')
    expect(await inContainer(folders, 'uninstall-client')).toMatch(
      /^taken back +\/etc\/docker\/daemon\.json$/m,
    )
    expect(host.picture()).toEqual(before)
  })
})
