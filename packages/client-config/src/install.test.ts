/**
 * Goal: what is installed can be taken back to the last byte, and what somebody edited is never overwritten.
 * Method: hosts in temporary folders, pictures of them before and after; the cases that people meet, one by one.
 */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { inspectClientConfig, installClient, type Runtime, reportLines, uninstallClient } from './index.ts'
import { type HostTree, hostTree } from './testing/host-tree.ts'

const HOSTS = '/etc/containerd/certs.d/docker.io/hosts.toml'
const CONFIG = '/etc/containerd/config.toml'
const DROP_IN = '/etc/containers/registries.conf.d/50-shoal.conf'
const DAEMON = '/etc/docker/daemon.json'
const STATE = '/var/lib/shoal/client'
const ALL: readonly Runtime[] = ['containerd', 'crio', 'podman', 'docker']

let host: HostTree
beforeEach(() => {
  host = hostTree({ [CONFIG]: 'version = 2\n', [DAEMON]: '{"debug": true}' })
})
afterEach(() => host[Symbol.dispose]())

interface Wishes {
  runtimes?: readonly Runtime[]
  agent?: string
  registries?: string
}

function install({ runtimes = ALL, agent = '127.0.0.1:5001', registries = 'docker.io' }: Wishes = {}) {
  return outcomes(installClient({ runtimes, agent, registries, root: host.root }))
}

function uninstall(runtimes?: readonly Runtime[]) {
  return outcomes(uninstallClient({ root: host.root, ...(runtimes !== undefined && { runtimes }) }))
}

/** `written /etc/…`, and why where something was left. */
function outcomes({ files }: ReturnType<typeof installClient>): string[] {
  return files.map(({ outcome, path, detail }) =>
    outcome === 'left' ? `left ${path}: ${detail}` : `${outcome} ${path}`,
  )
}

describe('install and uninstall', () => {
  test('leave every file as it was: content, mode, owner, and folders', () => {
    chmodSync(join(host.root, DAEMON), 0o640)
    if (process.getuid?.() === 0) chownSync(join(host.root, DAEMON), 1234, 2345)
    const before = host.picture()
    expect(install()).toEqual([
      `written ${HOSTS}`,
      `written ${CONFIG}`,
      `written ${DROP_IN}`,
      `written ${DAEMON}`,
    ])
    const { [DAEMON]: daemon } = host.picture()
    expect(daemon?.split('{')[0]).toBe(before[DAEMON]?.split('{')[0])
    expect(host.text(DAEMON)).toContain('"debug": true, "registry-mirrors"')
    expect(host.picture()[HOSTS]).toMatch(/^100644 /)
    expect(uninstall()).toEqual([
      `taken back ${HOSTS}`,
      `taken back ${CONFIG}`,
      `taken back ${DROP_IN}`,
      `taken back ${DAEMON}`,
    ])
    expect(host.picture()).toEqual(before)
  })

  test('twice change nothing, not even a time', () => {
    const untouched = host.picture({ times: true })
    expect(uninstall()).toEqual([])
    expect(host.picture({ times: true })).toEqual(untouched)
    install()
    const installed = host.picture({ times: true })
    expect(install().every((outcome) => outcome.startsWith('unchanged '))).toBe(true)
    expect(host.picture({ times: true })).toEqual(installed)
    uninstall()
    const taken = host.picture({ times: true })
    expect(uninstall()).toEqual([])
    expect(host.picture({ times: true })).toEqual(taken)
  })

  test('of other registries and another agent update what is there, and take back what nobody wants any more', () => {
    const before = host.picture()
    install({ registries: 'docker.io,quay.io' })
    expect(
      install({
        registries: 'docker.io,ghcr.io',
        agent: '127.0.0.1:5999',
        runtimes: ['containerd', 'docker'],
      }),
    ).toEqual([
      `written ${HOSTS}`,
      'written /etc/containerd/certs.d/ghcr.io/hosts.toml',
      `unchanged ${CONFIG}`,
      'taken back /etc/containerd/certs.d/quay.io/hosts.toml',
      `written ${DAEMON}`,
    ])
    expect(host.has('/etc/containerd/certs.d/quay.io')).toBe(false)
    expect(host.text(DAEMON)).toBe('{"debug": true, "registry-mirrors": ["http://127.0.0.1:5999"]}')
    expect(install({ runtimes: ['docker'], registries: 'quay.io' })).toEqual([`taken back ${DAEMON}`])
    uninstall()
    expect(host.picture()).toEqual(before)
  })

  test('of one runtime leave the others; CRI-O and podman share a file', () => {
    const before = host.picture()
    install()
    expect(uninstall(['crio', 'docker'])).toEqual([`unchanged ${DROP_IN}`, `taken back ${DAEMON}`])
    expect(uninstall(['crio'])).toEqual([])
    install({ runtimes: ['crio'], agent: '127.0.0.1:5002' })
    expect(host.text(DROP_IN)).toContain('127.0.0.1:5002/docker.io')
    expect(uninstall(['podman'])).toEqual([`unchanged ${DROP_IN}`])
    expect(uninstall(['crio'])).toEqual([`taken back ${DROP_IN}`])
    uninstall()
    expect(host.picture()).toEqual(before)
  })

  test('say what has to be reloaded, and only that', () => {
    const lines = (report: ReturnType<typeof installClient>) =>
      reportLines(report).filter((line) => line.startsWith('to do'))
    const request = { agent: '127.0.0.1:5001', root: host.root }
    expect(lines(installClient({ ...request, runtimes: ALL, registries: 'docker.io' }))).toEqual([
      'to do       systemctl restart containerd (running containers go on)',
      'to do       systemctl reload crio',
      'to do       systemctl reload docker',
    ])
    expect(
      lines(installClient({ ...request, runtimes: ['containerd', 'podman'], registries: 'quay.io' })),
    ).toEqual(['to do       systemctl reload crio'])
    expect(lines(uninstallClient({ ...request, runtimes: ['containerd'] }))).toHaveLength(1)
    // A reload would not take the last mirror away.
    const restart = expect.stringMatching(/^to do {7}systemctl restart docker \(until then/)
    expect(lines(uninstallClient({ ...request, runtimes: ['docker'] }))).toEqual([restart])
    host.put(DAEMON, '{"registry-mirrors": ["https://mirror.corp"]}')
    installClient({ ...request, runtimes: ['docker'], registries: 'docker.io' })
    expect(lines(uninstallClient({ ...request, runtimes: ['docker'] }))).toEqual([
      'to do       systemctl reload docker',
    ])
  })

  test('use a state folder that was there before, and leave it', () => {
    host.put('/var/lib/shoal/cache/piece', 'x')
    const before = host.picture()
    install()
    // Whoever looks may; what was there before may be secret.
    expect(host.picture()[`${STATE}/record.json`]).toMatch(/^100644 /)
    expect(host.picture()[`${STATE}/backup`]).toMatch(/^40700 /)
    uninstall()
    expect(host.picture()).toEqual(before)
  })

  test('remove the state also where its folder is a mount of its own by then', () => {
    const before = host.picture()
    install()
    let isAsked = false
    const onChange = (change: string) => {
      if (change !== `rename ${join(host.root, STATE)}`) return
      isAsked = true
      throw Object.assign(new Error('another file system'), { code: 'EXDEV', syscall: 'rename' })
    }
    uninstallClient({ root: host.root }, { onChange })
    expect(isAsked).toBe(true)
    expect(host.picture()).toEqual(before)
  })

  test('leave a folder that was made, where somebody else put something', () => {
    install()
    host.put('/etc/containerd/certs.d/docker.io/note', 'mine')
    host.put('/var/lib/shoal/cache/piece', 'x')
    uninstall()
    expect(host.has(STATE)).toBe(false)
    expect(host.text('/etc/containerd/certs.d/docker.io/note')).toBe('mine')
    expect(host.has('/var/lib/shoal/cache/piece')).toBe(true)
  })
})

describe('files of others', () => {
  test('that were there are left and reported; the rest is installed', () => {
    host.put(HOSTS, 'server = "https://mirror.corp"\n')
    const before = host.picture()
    const done = install({ registries: 'docker.io,quay.io' })
    expect(done[0]).toMatch(
      `left ${HOSTS}: was there before and is not Shoal’s; add [host."http://127.0.0.1:5001"]`,
    )
    expect(done).toContain('written /etc/containerd/certs.d/quay.io/hosts.toml')
    expect(host.text(HOSTS)).toBe('server = "https://mirror.corp"\n')
    uninstall()
    expect(host.picture()).toEqual(before)
  })

  test('that say by chance what they should stay theirs', () => {
    host.put(DAEMON, '{"registry-mirrors": ["http://127.0.0.1:5001"]}')
    const was = host.picture()
    const before = host.picture({ times: true })
    expect(install({ runtimes: ['docker'] })).toEqual([`unchanged ${DAEMON}`])
    expect(host.picture({ times: true })).toEqual(before)
    // The other address is Shoal's to take back; with the first one again, nothing is.
    install({ runtimes: ['docker'], agent: '127.0.0.1:5002' })
    expect(install({ runtimes: ['docker'] })).toEqual([`written ${DAEMON}`])
    expect(host.picture()).toEqual(was)
  })

  test('that cannot be parsed keep their runtime from being touched, and no other', () => {
    host.put(DAEMON, '{\n  "debug": true,\n}')
    host.put(CONFIG, 'version = 2\n[plugins\n')
    const before = host.picture()
    const done = install({ runtimes: ['containerd', 'docker', 'podman'] })
    expect(done).toEqual([
      expect.stringMatching(/^left .*config\.toml: is not valid TOML \(line 2, column \d+: .*\); mend it/),
      `written ${DROP_IN}`,
      expect.stringMatching(/^left .*daemon\.json: is not valid JSON \(.*line 3 column 1.*\); mend it/),
    ])
    uninstall()
    expect(host.picture()).toEqual(before)
  })

  test('that became unreadable later keep what was installed', () => {
    install()
    host.put('/etc/containers/registries.conf', '[[registry]\n')
    const installed = host.picture()
    expect(install({ runtimes: ['podman'], agent: '127.0.0.1:5002' })).toEqual([
      expect.stringContaining('left /etc/containers/registries.conf: is not valid TOML'),
    ])
    expect(host.picture()).toEqual(installed)
  })

  test.each<[string, (path: string) => void, string]>([
    ['too long', (path) => truncateSync(path, 100 * 1024 ** 2), 'is longer than 1048576 bytes'],
    ['no text', (path) => host.put(DAEMON, Uint8Array.of(0x7b, 0xff, 0x7d)) ?? path, 'is not UTF-8 text'],
    [
      'a folder',
      (path) => {
        unlinkSync(path)
        mkdirSync(path)
      },
      'is not a regular file',
    ],
    [
      'a link that leads nowhere',
      (path) => {
        unlinkSync(path)
        symlinkSync('/opt/daemon.json', path)
      },
      '.* is a symbolic link to .*/opt/daemon.json, which is not there',
    ],
    [
      'a link to itself',
      (path) => {
        unlinkSync(path)
        symlinkSync('daemon.json', path)
      },
      'leads through too many symbolic links',
    ],
  ])('that are %s are left', (_what, spoil, reason) => {
    spoil(join(host.root, DAEMON))
    const before = host.picture()
    expect(install({ runtimes: ['docker'] })).toEqual([expect.stringMatching(`left ${DAEMON}: ${reason}`)])
    expect(host.picture()).toEqual(before)
  })
})

describe('edited files', () => {
  test('of Shoal’s own are left by both, until they are gone', () => {
    install({ runtimes: ['containerd'] })
    host.put(HOSTS, '# mine\n')
    const edited = host.picture()
    const left = expect.stringContaining(`left ${HOSTS}: was edited since Shoal wrote it; remove it`)
    expect(install({ runtimes: ['containerd'] })).toContainEqual(left)
    expect(host.picture()).toEqual(edited)
    expect(uninstall()).toEqual([left, `taken back ${CONFIG}`])
    expect(host.text(HOSTS)).toBe('# mine\n')
    expect(uninstall()).toEqual([left])
    unlinkSync(join(host.root, HOSTS))
    expect(uninstall()).toEqual([`unchanged ${HOSTS}`])
    expect(host.has('/var/lib/shoal')).toBe(false)
    expect(host.has('/etc/containerd/certs.d')).toBe(false)
  })

  test('that are not valid any more are remembered', () => {
    const before = host.picture()
    install({ runtimes: ['containerd', 'docker'] })
    const written: Record<string, string> = { [CONFIG]: host.text(CONFIG), [DAEMON]: host.text(DAEMON) }
    for (const path of [CONFIG, DAEMON]) host.put(path, `{ "${written[path]}`)
    for (const run of [install, install])
      expect(run({ runtimes: ['containerd', 'docker'] })).toEqual([
        expect.stringContaining(`left ${CONFIG}: is not valid TOML`),
        expect.stringContaining(`left ${DAEMON}: is not valid JSON`),
      ])
    expect(uninstall()).toEqual([
      `taken back ${HOSTS}`,
      expect.stringContaining(`left ${CONFIG}: was edited since`),
      expect.stringContaining(`left ${DAEMON}: was edited since`),
    ])
    for (const [path, text] of Object.entries(written)) host.put(path, text)
    expect(uninstall()).toEqual([`taken back ${CONFIG}`, `taken back ${DAEMON}`])
    expect(host.picture()).toEqual(before)
  })

  test('of CRI-O and podman too, though they have entries of these registries', () => {
    install({ runtimes: ['crio', 'podman'] })
    host.put(DROP_IN, host.text(DROP_IN).replace('insecure = true', 'insecure = false'))
    expect(install({ runtimes: ['podman'] })).toEqual([
      expect.stringContaining(`left ${DROP_IN}: was edited since Shoal wrote it; remove it`),
    ])
  })

  test('that Shoal is only a part of are never touched, and forgotten when Shoal’s part is gone', () => {
    install({ runtimes: ['docker'] })
    host.put(DAEMON, '{"debug": false, "registry-mirrors": ["http://127.0.0.1:5001"]}')
    expect(install({ runtimes: ['docker'] })).toEqual([`unchanged ${DAEMON}`])
    expect(install({ runtimes: ['docker'], agent: '127.0.0.1:5002' })).toEqual([
      expect.stringContaining(
        `left ${DAEMON}: was edited since Shoal wrote it; put "http://127.0.0.1:5002" first into registry-mirrors`,
      ),
    ])
    expect(uninstall()).toEqual([
      expect.stringContaining(
        `left ${DAEMON}: was edited since Shoal wrote it; take what has http://127.0.0.1:5001 out by hand`,
      ),
    ])
    expect(host.text(DAEMON)).toBe('{"debug": false, "registry-mirrors": ["http://127.0.0.1:5001"]}')
    host.put(DAEMON, '{"debug": false}')
    expect(uninstall()).toEqual([`unchanged ${DAEMON}`])
    expect(host.text(DAEMON)).toBe('{"debug": false}')
    expect(host.has('/var/lib/shoal')).toBe(false)
  })

  test('that were put back by hand are not the command’s concern any more', () => {
    const before = host.picture()
    install({ runtimes: ['docker'] })
    host.put(DAEMON, '{"debug": true}')
    expect(uninstall()).toEqual([`unchanged ${DAEMON}`])
    expect(host.picture()).toEqual(before)
  })

  test('that were deleted are written again by install, and not by uninstall', () => {
    install({ runtimes: ['docker'] })
    unlinkSync(join(host.root, DAEMON))
    expect(uninstall()).toEqual([`unchanged ${DAEMON}`])
    expect(host.has(DAEMON)).toBe(false)
    install({ runtimes: ['docker'] })
    unlinkSync(join(host.root, DAEMON))
    expect(install({ runtimes: ['docker'] })).toEqual([`written ${DAEMON}`])
    uninstall()
    expect(host.has(DAEMON)).toBe(false)
  })
})

describe('symbolic links', () => {
  test('lead where they would on the host, and the link stays', () => {
    host.put('/opt/docker/daemon.json', '{}')
    unlinkSync(join(host.root, DAEMON))
    symlinkSync('/opt/docker/daemon.json', join(host.root, DAEMON))
    mkdirSync(join(host.root, '/srv/certs'), { recursive: true })
    symlinkSync('../../srv/certs', join(host.root, '/etc/containerd/certs.d'))
    const before = host.picture()
    expect(install()).not.toContainEqual(expect.stringContaining('left'))
    expect(host.text('/opt/docker/daemon.json')).toContain('127.0.0.1:5001')
    expect(host.text('/srv/certs/docker.io/hosts.toml')).toContain('127.0.0.1:5001')
    expect(host.picture()[DAEMON]).toMatch(/-> \/opt\/docker\/daemon\.json$/)
    uninstall()
    expect(host.picture()).toEqual(before)
  })

  test('never lead out of the root', () => {
    const outside = mkdtempSync(join(tmpdir(), 'shoal-outside-'))
    try {
      rmSync(join(host.root, '/etc/docker'), { recursive: true })
      symlinkSync(outside, join(host.root, '/etc/docker'))
      symlinkSync(`../../../../../../../..${outside}`, join(host.root, '/etc/containerd/certs.d'))
      const done = install({ runtimes: ['docker', 'containerd'] })
      expect(done).toContainEqual(
        expect.stringMatching(`left ${DAEMON}: .* is a symbolic link to ${host.root}`),
      )
      expect(done).toContainEqual(
        expect.stringMatching(`left ${HOSTS}: .* is a symbolic link to ${host.root}`),
      )
      expect(readdirSync(outside)).toEqual([])
      // What they mean on the host exists now.
      mkdirSync(join(host.root, outside), { recursive: true })
      install({ runtimes: ['docker', 'containerd'] })
      expect(readdirSync(outside)).toEqual([])
      expect(readdirSync(join(host.root, outside))).toEqual(['daemon.json', 'docker.io'])
      uninstall()
      expect(readdirSync(join(host.root, outside))).toEqual([])
    } finally {
      rmSync(outside, { recursive: true })
    }
  })
})

describe('what was installed', () => {
  test('can be looked at', async () => {
    expect(await inspectClientConfig({ root: host.root })).toEqual([])
    install({ runtimes: ['containerd', 'crio', 'podman', 'docker'], agent: '127.0.0.1:5999' })
    host.put(HOSTS, '# mine\n')
    host.put(DAEMON, '{"debug": true}')
    const agent = '127.0.0.1:5999'
    expect(await inspectClientConfig({ root: host.root })).toEqual([
      {
        runtime: 'containerd',
        path: HOSTS,
        state: 'edited',
        detail: 'was edited since Shoal wrote it',
        agent,
      },
      { runtime: 'containerd', path: CONFIG, state: 'installed', detail: 'as Shoal wrote it', agent },
      { runtime: 'crio', path: DROP_IN, state: 'installed', detail: 'as Shoal wrote it', agent },
      { runtime: 'podman', path: DROP_IN, state: 'installed', detail: 'as Shoal wrote it', agent },
      {
        runtime: 'docker',
        path: DAEMON,
        state: 'missing',
        detail: 'is as it was before Shoal wrote it',
        agent,
      },
    ])
  })

  test('is told file by file where one of them cannot be read', async () => {
    install({ runtimes: ['containerd', 'docker'] })
    rmSync(join(host.root, HOSTS))
    mkdirSync(join(host.root, HOSTS))
    const found = await inspectClientConfig({ root: host.root })
    expect(found.map(({ path, state }) => [path, state])).toEqual([
      [HOSTS, 'unreadable'],
      [CONFIG, 'installed'],
      [DAEMON, 'installed'],
    ])
    expect(found[0]!.detail).not.toBe('')
  })

  test('is not guessed when the record or a backup is damaged', async () => {
    install()
    const [backup] = Object.keys(host.picture()).filter((path) => path.startsWith(`${STATE}/backup/`))
    const was = host.text(backup!)
    host.put(backup!, 'something else')
    const before = host.picture()
    expect(() => uninstall()).toThrow('the backup is damaged')
    expect(host.picture()).toEqual(before)
    host.put(backup!, was)
    for (const text of ['{', '{}', '{"version": 2}', '{"version": 1, "files": [{"path": "../x"}]}']) {
      host.put(`${STATE}/record.json`, text)
      const spoiled = host.picture()
      expect(() => uninstall()).toThrow(/record\.json cannot be used: /)
      expect(() => install()).toThrow(/record\.json cannot be used: /)
      await expect(inspectClientConfig({ root: host.root })).rejects.toThrow(/record\.json cannot be used: /)
      expect(host.picture()).toEqual(spoiled)
    }
  })

  test('is looked for where a host is', () => {
    rmSync(join(host.root, 'etc'), { recursive: true })
    expect(() => install()).toThrow('is not where a host’s file system is: it has no /etc')
    expect(() => uninstallClient({ root: join(host.root, 'nowhere') })).toThrow(
      'it cannot be opened (ENOENT)',
    )
  })
})
