/**
 * Goal: whatever was there, whatever is installed in whatever order, and whoever edits what in between: files that nobody
 * edited come back byte for byte, and files that somebody edited are never written again.
 * Method: random hosts and random runs. The model of an edited file is its text; of all others, the picture from before.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ClientReport, installClient, RUNTIMES, uninstallClient } from './index.ts'
import { hostTree } from './testing/host-tree.ts'

class Killed extends Error {}

const HOSTS = '/etc/containerd/certs.d'
const table = '[plugins."io.containerd.grpc.v1.cri".registry]\n'
const texts: Record<string, readonly string[]> = {
  '/etc/containerd/config.toml': [
    '',
    '# nothing\n',
    'version = 2\n',
    `version = 2\r\n${table}  config_path = ""\r\n`,
    `version = 2\n${table}config_path = "/etc/containerd/certs.d"`,
    'version = 3\nimports = ["/etc/containerd/conf.d/*.toml"]\n',
    'disabled_plugins = ["cri"]',
    'version = [',
  ],
  '/etc/containerd/conf.d/10.toml': ['version = 3\n[plugins."io.containerd.cri.v1.images"]\n', ''],
  [`${HOSTS}/docker.io/hosts.toml`]: ['server = "https://mirror.corp"\n', ''],
  [`${HOSTS}/_default/hosts.toml`]: ['server = "https://mirror.corp"\n'],
  [`${HOSTS}/r.corp:5000/ca.crt`]: ['x'],
  '/etc/docker/certs.d/quay.io/ca.crt': ['x'],
  '/etc/containers/registries.conf': [
    'unqualified-search-registries = ["docker.io"]\n',
    '[[registry]]\nlocation = "quay.io"\n',
    '[[registry',
  ],
  '/etc/containers/registries.conf.d/10.conf': ['[[registry]]\nprefix = "*.corp"\nblocked = true\n', ''],
  '/etc/docker/daemon.json': [
    '{}',
    ' ',
    '{"registry-mirrors": ["http://127.0.0.1:5002"]}',
    '{\r\n\t"debug": true\r\n}',
    '{ "a": [1, ], }',
    '{"registry-mirrors": 1}',
  ],
  '/var/lib/shoal/cache/piece': ['x'],
}

const prior = fc.record(
  Object.fromEntries(Object.entries(texts).map(([path, choices]) => [path, fc.constantFrom(...choices)])),
  { requiredKeys: [] },
)
const runtimes = fc.subarray([...RUNTIMES], { minLength: 1 })
const run = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('install' as const),
      runtimes,
      agent: fc.constantFrom('127.0.0.1:5001', '127.0.0.1:5002'),
      /** Before which of its changes it is killed. */
      killedAt: fc.option(fc.nat(40), { freq: 3 }),
      registries: fc
        .subarray(['docker.io', 'quay.io', 'r.corp:5000', '*'], { minLength: 1 })
        .map((list) => list.join(',')),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('uninstall' as const), runtimes }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('edit' as const),
      /** Which of the files that Shoal has changed. */
      which: fc.nat(20),
      text: fc.constantFrom(
        '',
        '{}\n',
        '# "http://127.0.0.1:5001"\n',
        '{"registry-mirrors": ["http://127.0.0.1:5001"]}',
      ),
    }),
  },
)

const except = ['/var/lib/shoal/client']

test('random hosts, random runs', () => {
  fc.assert(
    fc.property(prior, fc.array(run, { minLength: 1, maxLength: 6 }), (files, runs) => {
      using host = hostTree(files as Record<string, string>)
      const { root } = host
      const before = host.picture()
      const edited = new Map<string, string>()
      /** An edited file in which nothing of Shoal is left is its owner's, as it is now. */
      const hear = ({ files: reports }: ClientReport) => {
        for (const { path, detail = '' } of reports) {
          if (!edited.has(path) || !detail.includes('nothing of Shoal is left')) continue
          const now = host.picture({ except })
          // With the folders that it is in.
          for (const one of Object.keys(now))
            if (path === one || path.startsWith(`${one}/`)) before[one] = now[one]!
          edited.delete(path)
        }
      }
      for (const one of runs) {
        if (one.kind === 'install' && one.killedAt !== null && edited.size === 0) {
          let left = one.killedAt
          const onChange = () => {
            if (left === 0) throw new Killed()
            left -= 1
          }
          try {
            installClient({ ...one, root }, { onChange })
          } catch (error) {
            if (!(error instanceof Killed)) throw error
          }
        } else if (one.kind === 'install') {
          hear(installClient({ ...one, root }))
          // Once more: nothing changes, whatever was left.
          const installed = host.picture({ times: true, except: ['/var/lib'] })
          installClient({ ...one, root })
          expect(host.picture({ times: true, except: ['/var/lib'] })).toEqual(installed)
        } else if (one.kind === 'uninstall') hear(uninstallClient({ runtimes: one.runtimes, root }))
        else {
          const now = host.picture({ except })
          const changed = Object.keys(now).filter(
            (path) =>
              now[path] !== before[path] &&
              path.startsWith('/etc/') &&
              !path.endsWith('.shoal-new') &&
              !now[path]!.endsWith('folder'),
          )
          const path = changed[one.which % changed.length]
          if (path === undefined) continue
          host.put(path, one.text)
          // Put back by hand: as if nothing had been installed.
          if (one.text === (files as Record<string, string>)[path]) edited.delete(path)
          else edited.set(path, one.text)
        }
        for (const [path, text] of edited) {
          expect(host.text(path)).toBe(text)
          // Nor is it forgotten that something of Shoal may be in it.
          expect(host.text('/var/lib/shoal/client/record.json')).toContain(`"${path}"`)
        }
      }
      hear(uninstallClient({ root }))
      for (const [path, text] of edited) expect(host.text(path)).toBe(text)
      const after = host.picture({ except: edited.size > 0 ? except : [] })
      for (const path of new Set([...Object.keys(before), ...Object.keys(after)])) {
        const isAboveEdited = [...edited.keys()].some((one) => one === path || one.startsWith(`${path}/`))
        if (!isAboveEdited && path !== '/var/lib/shoal')
          expect([path, after[path]]).toEqual([path, before[path]])
      }
      // With the edited files out of the way, there is nothing left to know.
      for (const path of edited.keys()) host.remove(path)
      uninstallClient({ root })
      expect(host.has('/var/lib/shoal/client')).toBe(false)
      expect(host.has('/var/lib/shoal')).toBe('/var/lib/shoal' in before)
    }),
    { numRuns: 80 },
  )
}, 120_000)
