/**
 * Goal: a run that is killed, or that the file system refuses something, at any moment, leaves whole files; the next run
 * ends where it should, and uninstalling gives back every byte.
 * Method: runs that end right before their first change, their second, …, as after kill -9, where nothing is cleaned up any
 * more; the same with errors of the file system, where the run goes on.
 */
import { afterEach, describe, expect, test } from 'vitest'
import { ClientConfigError, installClient, isComplete, type Runtime, uninstallClient } from './index.ts'
import { type HostTree, hostTree } from './testing/host-tree.ts'

class Killed extends Error {}

const REQUEST = {
  runtimes: ['containerd', 'docker'] as readonly Runtime[],
  agent: '127.0.0.1:5001',
  registries: 'docker.io',
}
/** Another agent, other registries. */
const ANOTHER = { ...REQUEST, agent: '127.0.0.1:5002', registries: 'quay.io,*' }
const STATE = '/var/lib/shoal'
const FILES = {
  '/etc/containerd/config.toml': 'version = 2\n',
  '/etc/docker/daemon.json': '{\n  "debug": true\n}\n',
}
const WITH_CACHE = { ...FILES, '/var/lib/shoal/cache/piece': 'x' }

type Run = (host: HostTree, onChange?: (change: string) => void) => unknown
const install: Run = ({ root }, onChange) => installClient({ ...REQUEST, root }, onChange && { onChange })
const installAnother: Run = ({ root }, onChange) =>
  installClient({ ...ANOTHER, root }, onChange && { onChange })
const uninstall: Run = ({ root }, onChange) => uninstallClient({ root }, onChange && { onChange })

const hosts: HostTree[] = []
afterEach(() => {
  for (const host of hosts.splice(0)) host[Symbol.dispose]()
})

function hostWith(files: Record<string, string>, runs: readonly Run[] = []): HostTree {
  const host = hostTree(files)
  hosts.push(host)
  for (const run of runs) run(host)
  return host
}

/** What clients read: all but what Shoal keeps for itself. */
const seen = (host: HostTree) => host.picture({ except: [STATE] })

function changesOf(run: Run, files: Record<string, string>, before: readonly Run[]): number {
  let count = 0
  run(hostWith(files, before), () => {
    count += 1
  })
  return count
}

/** @returns a host on which `run` was killed right before its change number `at` */
function killedAt(at: number, run: Run, files: Record<string, string>, before: readonly Run[]): HostTree {
  const host = hostWith(files, before)
  let count = 0
  const onChange = () => {
    if (count >= at) throw new Killed()
    count += 1
  }
  expect(() => run(host, onChange)).toThrow(Killed)
  return host
}

const cases: [string, Run, readonly Run[]][] = [
  ['a first install', install, []],
  ['an install with other settings', installAnother, [install]],
  ['an uninstall', uninstall, [install]],
]

describe.each([
  ['a bare host', FILES],
  ['a host with a cache', WITH_CACHE],
])('on %s', (_what, files) => {
  const untouched = () => hostWith(files).picture()

  test.each(cases)('%s that is killed at any change is undone by an uninstall', (_what, run, before) => {
    const count = changesOf(run, files, before)
    expect(count).toBeGreaterThan(10)
    for (let at = 0; at < count; at += 1) {
      const host = killedAt(at, run, files, before)
      uninstall(host)
      expect(host.picture(), `before change ${at}`).toEqual(untouched())
    }
  })

  test.each(cases)('%s that is killed at any change is ended by an install', (_what, run, before) => {
    const count = changesOf(run, files, before)
    const wanted = seen(hostWith(files, [installAnother]))
    for (let at = 0; at < count; at += 1) {
      const host = killedAt(at, run, files, before)
      installAnother(host)
      expect(seen(host), `before change ${at}`).toEqual(wanted)
      // Its own leavings are gone as well.
      const names = Object.keys(host.picture()).join('\n')
      expect(names).not.toMatch(/shoal-new|\.shoal-client-/)
      uninstall(host)
      expect(host.picture(), `before change ${at}`).toEqual(untouched())
    }
  })

  test('files are whole at every moment', () => {
    const host = hostWith(files)
    const pictures: Record<string, string>[] = [seen(host)]
    for (const run of [install, installAnother, uninstall]) run(host, () => pictures.push(seen(host)))
    const whole = [[], [install], [install, installAnother]].map((runs) => seen(hostWith(files, runs)))
    for (const picture of pictures) {
      for (const [path, text] of Object.entries(picture)) {
        if (!path.startsWith('/etc/') || path.endsWith('.shoal-new') || text.endsWith('folder')) continue
        expect(whole.map((one) => one[path])).toContain(text)
      }
    }
  })
})

describe('a file system that refuses', () => {
  const refusing = (at: number, code: string, isForGood: boolean) => {
    let count = 0
    return () => {
      count += 1
      if (count - 1 === at || (isForGood && count > at))
        throw Object.assign(new Error(code), { code, syscall: 'write' })
    }
  }

  test.each([
    ['is full, once', 'ENOSPC', false],
    ['became read-only', 'EROFS', true],
  ])('as it %s: every file is whole, and nothing is lost', (_what, code, isForGood) => {
    const untouched = hostWith(FILES).picture()
    const whole = [[], [install], [install, installAnother]].map((runs) => seen(hostWith(FILES, runs)))
    for (const [, run, before] of cases) {
      const count = changesOf(run, FILES, before)
      for (let at = 0; at < count; at += 1) {
        const host = hostWith(FILES, before)
        try {
          const report = run(host, refusing(at, code, isForGood)) as ReturnType<typeof installClient>
          for (const { outcome, detail } of report.files)
            if (outcome === 'left') expect(detail).toMatch(/the file system is/)
          // Told of, unless it was only about leavings.
          expect(isForGood && run !== uninstall && isComplete(report)).toBe(false)
        } catch (error) {
          expect(error).toBeInstanceOf(ClientConfigError)
          expect((error as Error).message).toMatch(/the file system is (full|read-only)/)
        }
        for (const [path, text] of Object.entries(seen(host))) {
          if (!path.startsWith('/etc/') || path.endsWith('.shoal-new') || text.endsWith('folder')) continue
          expect(
            whole.map((one) => one[path]),
            `${path} before change ${at}`,
          ).toContain(text)
        }
        uninstall(host)
        expect(host.picture(), `before change ${at}`).toEqual(untouched)
      }
    }
  })
})
