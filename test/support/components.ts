/**
 * The real programs that end-to-end suites run against: how each is recognised and what brings it.
 * Looks at PATH and at this process's rights, once per test file; asks a daemon only where one has to answer.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

interface Component {
  /** For messages: what a person would call it. */
  readonly title: string
  /** Programs that must all be found. */
  readonly binaries: readonly string[]
  /** Debian packages that bring the programs. */
  readonly packages: readonly string[]
  /** Mounts file systems or makes namespaces: root with CAP_SYS_ADMIN and CAP_NET_ADMIN, which a plain container lacks. */
  readonly privileged?: true
  /** A last look beyond the programs; an answer says what is wrong. */
  readonly probe?: () => string | undefined
  /** What to do when the last look found something; without it, installing the packages. */
  readonly remedy?: string
  /** No package of Debian brings it: its suites are skipped by name even where components are required. */
  readonly optional?: true
}

const table = {
  dockerd: {
    title: 'Docker Engine, started privately',
    binaries: ['dockerd', 'docker', 'containerd', 'runc'],
    packages: ['docker.io'],
    privileged: true,
  },
  'docker-engine': {
    title: 'Docker Engine, already running',
    binaries: ['docker'],
    packages: ['docker.io'],
    probe: () => dockerEngineTrouble(),
    remedy: 'start the Docker Engine',
  },
  containerd: {
    title: 'containerd and ctr',
    binaries: ['containerd', 'ctr', 'containerd-shim-runc-v2', 'runc'],
    packages: ['containerd', 'runc'],
    privileged: true,
  },
  skopeo: { title: 'skopeo', binaries: ['skopeo'], packages: ['skopeo'] },
  podman: {
    title: 'podman',
    binaries: ['podman', 'conmon', 'runc'],
    packages: ['podman', 'runc'],
    privileged: true,
  },
  buildah: { title: 'buildah', binaries: ['buildah'], packages: ['buildah'], privileged: true },
  'docker-compose': {
    title: 'docker-compose',
    binaries: ['docker-compose'],
    packages: ['docker-compose'],
  },
  'docker-registry': {
    title: 'the Distribution registry',
    binaries: ['docker-registry'],
    packages: ['docker-registry'],
  },
  'ceph-rgw': {
    title: 'Ceph with its S3 gateway',
    binaries: ['ceph', 'ceph-authtool', 'monmaptool', 'ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin'],
    packages: ['ceph-mon', 'ceph-osd', 'radosgw'],
  },
  libtorrent: {
    title: 'libtorrent for Python',
    binaries: ['python3'],
    packages: ['python3-libtorrent'],
    probe: () => (libtorrentPython() === undefined ? 'no python3 on PATH can import it' : undefined),
  },
  aria2: { title: 'aria2', binaries: ['aria2c'], packages: ['aria2'] },
  transmission: {
    title: 'the Transmission daemon',
    binaries: ['transmission-daemon'],
    packages: ['transmission-daemon'],
  },
  rtorrent: { title: 'rtorrent', binaries: ['rtorrent'], packages: ['rtorrent'] },
  deluge: {
    title: 'the Deluge daemon and its console',
    binaries: ['deluged', 'deluge-console'],
    packages: ['deluged', 'deluge-console'],
  },
  qbittorrent: {
    title: 'qBittorrent without a window',
    binaries: ['qbittorrent-nox'],
    packages: ['qbittorrent-nox'],
  },
  'network-namespaces': {
    title: 'network namespaces with shaped links',
    binaries: ['ip', 'tc', 'unshare', 'nsenter', 'mount'],
    packages: ['iproute2', 'util-linux', 'mount'],
    privileged: true,
    probe: () => shapedLinkTrouble(),
    remedy: 'load the kernel modules veth and sch_tbf',
  },
  /** A small disk that can be filled. */
  tmpfs: {
    title: 'file systems of its own',
    binaries: ['mount', 'umount'],
    packages: ['mount'],
    privileged: true,
  },
  /** Looks at units and system calls; systemd itself need not run. */
  'systemd-analyze': { title: 'systemd-analyze', binaries: ['systemd-analyze'], packages: ['systemd'] },
  'chart-templates': {
    title: 'Go with sprig, or Helm, to render the chart',
    binaries: [],
    packages: ['golang-go', 'golang-github-masterminds-sprig-dev', 'golang-k8s-sigs-yaml-dev'],
    probe: () =>
      goWithSprig() === undefined && programPaths('helm').length === 0
        ? 'neither helm nor go with the Debian packages of sprig is there'
        : undefined,
  },
  helm: {
    title: 'Helm',
    binaries: [],
    packages: [],
    probe: () => (programPaths('helm').length === 0 ? 'not on PATH' : undefined),
    remedy: 'install Helm, from helm.sh: no package of Debian has it',
    optional: true,
  },
  /** Enough to make an image out of a program of this machine. */
  ldd: { title: 'ldd', binaries: ['ldd'], packages: ['libc-bin'] },
} satisfies Record<string, Component>

export type ComponentName = keyof typeof table

/** Why one component cannot be used here, and what to do about it. Plain data: it travels to the reporter. */
export interface MissingComponent {
  readonly name: ComponentName
  /** `skopeo is not on PATH`, `needs root`… */
  readonly reason: string
  /** A command or an instruction for the person who reads it. */
  readonly remedy: string
  readonly isOptional?: true
}

/** @returns those of `names` that cannot be used here; looks at each component once per process. */
export function missingComponents(names: readonly ComponentName[]): MissingComponent[] {
  return names.map((name) => look(name)).filter((missing) => missing !== undefined)
}

/**
 * Whether a missing component is an error. `.ci/run` says so with SHOAL_REQUIRE_COMPONENTS=1; any other CI=true
 * counts as well, unless SHOAL_REQUIRE_COMPONENTS=0 takes it back.
 */
export function componentsAreRequired(environment: NodeJS.ProcessEnv = process.env): boolean {
  const wish = environment.SHOAL_REQUIRE_COMPONENTS
  if (wish !== undefined && wish !== '') return wish !== '0' && wish !== 'false'
  return environment.CI !== undefined && !['', '0', 'false'].includes(environment.CI)
}

/**
 * Every place where a program of this name is, in the order of PATH.
 * Also looks where daemons live: Debian leaves the sbin folders out of an ordinary user's PATH.
 */
export function programPaths(binary: string): string[] {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return [...new Set(folders)].map((folder) => join(folder || '.', binary)).filter(isProgram)
}

/** @returns a python3 that has libtorrent. Several may be on PATH; Debian's package serves Debian's own. */
export function libtorrentPython(): string | undefined {
  return programPaths('python3').find(
    (path) => spawnSync(path, ['-c', 'import libtorrent'], { stdio: 'ignore' }).status === 0,
  )
}

/** Where Debian keeps the sources of Go's libraries. */
const GO_LIBRARIES = '/usr/share/gocode'

/** @returns the go program, and the environment in which it finds Debian's sprig; undefined where either is missing */
export function goWithSprig(): { program: string; env: Record<string, string> } | undefined {
  const [program] = programPaths('go')
  const libraries = ['github.com/Masterminds/sprig', 'sigs.k8s.io/yaml'].map((name) =>
    join(GO_LIBRARIES, 'src', name),
  )
  if (program === undefined || !libraries.every((folder) => existsSync(folder))) return undefined
  return { program, env: { GO111MODULE: 'off', GOPATH: GO_LIBRARIES, GOFLAGS: '', GOTOOLCHAIN: 'local' } }
}

const looked = new Map<ComponentName, MissingComponent | undefined>()

function look(name: ComponentName): MissingComponent | undefined {
  if (!looked.has(name)) looked.set(name, lookAfresh(name, table[name]))
  return looked.get(name)
}

function lookAfresh(name: ComponentName, component: Component): MissingComponent | undefined {
  const absent = component.binaries.filter((binary) => programPaths(binary).length === 0)
  if (absent.length > 0) {
    return {
      name,
      reason: `${component.title}: not on PATH: ${absent.join(', ')}`,
      remedy: installing(component),
    }
  }
  if (component.privileged && !isPrivileged()) {
    return {
      name,
      reason: `${component.title} needs root and CAP_SYS_ADMIN`,
      remedy: 'run the tests as root',
    }
  }
  const trouble = component.probe?.()
  if (trouble !== undefined) {
    const remedy = component.remedy ?? installing(component)
    const reason = `${component.title}: ${trouble}`
    return { name, reason, remedy, ...(component.optional && { isOptional: true }) }
  }
  return undefined
}

function installing(component: Component): string {
  return `apt-get install --no-install-recommends ${component.packages.join(' ')}`
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function isPrivileged(): boolean {
  if (process.getuid?.() !== 0) return false
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
    // Bits from linux/capability.h: 12 is CAP_NET_ADMIN, 21 CAP_SYS_ADMIN.
    const wanted = (1n << 12n) | (1n << 21n)
    return effective !== undefined && (BigInt(`0x${effective}`) & wanted) === wanted
  } catch {
    return false
  }
}

function shapedLinkTrouble(): string | undefined {
  const script =
    'ip link add v0 type veth peer name v1 && tc qdisc add dev v0 root tbf rate 1mbit burst 64k latency 50ms'
  const tried = spawnSync('unshare', ['--net', 'sh', '-ec', script], { encoding: 'utf8', timeout: 10_000 })
  return tried.status === 0 ? undefined : `none can be made: ${tried.stderr?.trim() || tried.error?.message}`
}

function dockerEngineTrouble(): string | undefined {
  try {
    execFileSync('docker', ['version', '--format', '{{.Server.Version}}'], {
      stdio: 'ignore',
      timeout: 3_000,
    })
    return undefined
  } catch {
    return 'no Docker Engine answers'
  }
}
