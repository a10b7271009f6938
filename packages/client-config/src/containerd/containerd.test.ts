/**
 * Goal: containerd of any release finds `hosts.toml` where it looks, and nothing that it read before is hidden from it.
 * Method: its documented forms of config.toml as files of a host that exists only in memory; random tables for the inserted
 * line.
 */
import fc from 'fast-check'
import { parse, stringify } from 'smol-toml'
import { describe, expect, test } from 'vitest'
import { at, isSameDocument, withValue } from '../documents.ts'
import { RuntimeRefusedError } from '../errors.ts'
import { viewOf } from '../testing/host-in-memory.ts'
import { parseWish } from '../wish.ts'
import { planContainerd } from './containerd.ts'
import { CONFIG_PATH_DEFAULT, withConfigPath } from './main-config.ts'

const CONFIG = '/etc/containerd/config.toml'
const V1 = ['plugins', 'cri', 'registry', 'config_path']
const V2 = ['plugins', 'io.containerd.grpc.v1.cri', 'registry', 'config_path']
const V3 = ['plugins', 'io.containerd.cri.v1.images', 'registry', 'config_path']

/** What `containerd config default` of 2.2 and later says. */
const LIST =
  'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/certs.d:/etc/docker/certs.d"\n'

const plan = (files: Record<string, string>, registries = 'docker.io') =>
  planContainerd(viewOf(files), parseWish('127.0.0.1:5001', registries))
const texts = (files: Record<string, string>, registries?: string) => {
  const planned = plan(files, registries)
  return Object.fromEntries(
    planned.files.map(({ path, merge }) => {
      const merged = merge(files[path])
      return [path, merged.kind === 'text' ? merged.text : `refused: ${merged.reason}`]
    }),
  )
}

describe('hosts.toml', () => {
  test('of each registry, and of all others', () => {
    const { [CONFIG]: _, ...hosts } = texts({}, 'docker.io,registry.corp:5000=http://10.0.0.5:5000,*')
    const comment =
      '# Written by shoal install-client; shoal uninstall-client takes it back, unless it was edited.\n'
    const agent =
      '[host."http://127.0.0.1:5001"]\n  capabilities = ["pull", "resolve"]\n  dial_timeout = "200ms"\n'
    expect(hosts).toEqual({
      '/etc/containerd/certs.d/_default/hosts.toml': `${comment}${agent}`,
      '/etc/containerd/certs.d/docker.io/hosts.toml': `${comment}server = "https://registry-1.docker.io"\n\n${agent}`,
      '/etc/containerd/certs.d/registry.corp_5000_/hosts.toml': `${comment}server = "http://10.0.0.5:5000"\n\n${agent}`,
    })
  })

  test.each<[string, Record<string, string>, string, string]>([
    [
      'the same registry’s other folder',
      { '/etc/containerd/certs.d/registry.corp:5000/hosts.toml': 'server = "x"' },
      'registry.corp:5000',
      'would hide /etc/containerd/certs.d/registry.corp:5000/hosts.toml',
    ],
    [
      'a certificate that is read without hosts.toml only',
      { '/etc/containerd/certs.d/quay.io/ca.crt': 'x' },
      'quay.io',
      'would hide /etc/containerd/certs.d/quay.io/ca.crt',
    ],
    [
      'Docker’s certificate of the registry',
      { [CONFIG]: LIST, '/etc/docker/certs.d/registry.corp:5000/ca.crt': 'x' },
      'registry.corp:5000',
      'would hide /etc/docker/certs.d/registry.corp:5000/ca.crt',
    ],
    [
      'Docker’s certificate of any registry',
      { [CONFIG]: LIST, '/etc/docker/certs.d/registry.corp:5000/ca.crt': 'x' },
      '*',
      'would hide /etc/docker/certs.d/registry.corp:5000/ca.crt',
    ],
  ])('does not hide %s', (_what, files, registries, reason) => {
    const { blocked } = plan(files, registries)
    expect(blocked).toHaveLength(1)
    expect(blocked[0]!.reason).toContain(reason)
    expect(blocked[0]!.reason).toMatch(
      /; (add \[host\."http:\/\/127\.0\.0\.1:5001"\]|write one there) .*by hand/,
    )
  })

  test('that is somebody else’s is left', () => {
    const path = '/etc/containerd/certs.d/docker.io/hosts.toml'
    expect(texts({ [path]: 'server = "x"' })[path]).toContain('refused: was there before')
  })

  test('for one registry beside a _default of somebody else is noted', () => {
    const { notes } = plan({ '/etc/containerd/certs.d/_default/hosts.toml': 'server = "x"' })
    expect(notes.join()).toContain('_default/hosts.toml was there before')
  })
})

describe('config.toml', () => {
  test.each<[string, string | undefined, string]>([
    [
      'that is missing',
      undefined,
      `version = 2\n\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "${CONFIG_PATH_DEFAULT}"\n`,
    ],
    [
      'of Debian’s 1.6',
      'version = 2\n\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    [plugins."io.containerd.grpc.v1.cri".cni]\n      bin_dir = "/usr/lib/cni"\n',
      `version = 2\n\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    [plugins."io.containerd.grpc.v1.cri".cni]\n      bin_dir = "/usr/lib/cni"\n\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "${CONFIG_PATH_DEFAULT}"\n`,
    ],
    [
      'as 1.x dumps its defaults',
      'version = 2\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    [plugins."io.containerd.grpc.v1.cri".registry]\n      config_path = "" # none\n      [plugins."io.containerd.grpc.v1.cri".registry.mirrors]\n',
      `version = 2\n[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    [plugins."io.containerd.grpc.v1.cri".registry]\n      config_path = "${CONFIG_PATH_DEFAULT}" # none\n      [plugins."io.containerd.grpc.v1.cri".registry.mirrors]\n`,
    ],
    [
      'as 2.x dumps its defaults',
      "version = 3\n[plugins]\n  [plugins.'io.containerd.cri.v1.images']\n    snapshotter = 'overlayfs'\n    [plugins.'io.containerd.cri.v1.images'.registry]\n      config_path = ''\n",
      `version = 3\n[plugins]\n  [plugins.'io.containerd.cri.v1.images']\n    snapshotter = 'overlayfs'\n    [plugins.'io.containerd.cri.v1.images'.registry]\n      config_path = "${CONFIG_PATH_DEFAULT}"\n`,
    ],
    [
      'of 2.4’s version, with Windows’ line ends and none at the end',
      'version = 4\r\nroot = "/x"',
      `version = 4\r\nroot = "/x"\r\n\r\n[plugins."io.containerd.cri.v1.images".registry]\r\n  config_path = "${CONFIG_PATH_DEFAULT}"\r\n`,
    ],
    [
      'without a version, which is the first',
      '[plugins.cri]\n  sandbox_image = "x"\n',
      `[plugins.cri]\n  sandbox_image = "x"\n\n[plugins.cri.registry]\n  config_path = "${CONFIG_PATH_DEFAULT}"\n`,
    ],
    [
      'with an empty registry table at its end',
      'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]',
      `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "${CONFIG_PATH_DEFAULT}"\n`,
    ],
  ])('%s', (_what, before, after) => {
    const files = before === undefined ? {} : { [CONFIG]: before }
    expect(texts(files)[CONFIG]).toBe(after)
    expect(texts({ [CONFIG]: after })[CONFIG]).toBe(after)
  })

  test('that says where, is believed', () => {
    const text =
      'version = 3\n[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/opt/a/certs.d"\n'
    const files = { [CONFIG]: text, '/opt/a/other': '' }
    expect(Object.keys(texts(files))).toEqual(['/opt/a/certs.d/docker.io/hosts.toml', CONFIG])
    expect(texts(files)[CONFIG]).toBe(text)
    expect(() => plan({ [CONFIG]: text })).toThrow('/opt/a is not there')
  })

  test('that says it with more slashes than are needed is believed and not mended', () => {
    const text =
      'version = 3\n[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/etc//containerd/x/../hosts/"\n'
    const written = texts({ [CONFIG]: text })
    expect(Object.keys(written)).toEqual(['/etc/containerd/hosts/docker.io/hosts.toml', CONFIG])
    expect(written[CONFIG]).toBe(text)
  })

  test('that names several folders keeps the first, where nothing is in the others: 2.1 and later read no list', () => {
    expect(texts({ [CONFIG]: LIST })[CONFIG]).toBe(LIST.replace(':/etc/docker/certs.d', ''))
    const docker = { '/etc/docker/certs.d/quay.io/ca.crt': 'x' }
    const older = plan({ [CONFIG]: LIST, ...docker })
    expect(older.files.map(({ path }) => path)).toEqual(['/etc/containerd/certs.d/docker.io/hosts.toml'])
    expect(older.notes.join()).toContain(
      'may read none of them; move what is in /etc/docker/certs.d to /etc/containerd/certs.d',
    )
    const version3 = LIST.replace('version = 2', 'version = 3').replace('grpc.v1.cri', 'cri.v1.images')
    expect(plan({ [CONFIG]: version3, ...docker }).blocked).toEqual([
      { path: CONFIG, reason: expect.stringContaining('may read none of them') },
    ])
  })

  test('that imports: the last file that has the plugin decides, and gets the line', () => {
    const main =
      'version = 2\nimports = ["conf.d/*.toml"]\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/hosts"\n'
    const dropIn = '[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "x"\n'
    const files = {
      [CONFIG]: main,
      '/etc/containerd/conf.d/1.toml': dropIn,
      '/etc/containerd/conf.d/2.toml': '[debug]\n',
    }
    const written = texts(files)
    expect(Object.keys(written)).toEqual([
      '/etc/containerd/hosts/docker.io/hosts.toml',
      '/etc/containerd/conf.d/1.toml',
    ])
    expect(written['/etc/containerd/conf.d/1.toml']).toBe(
      `${dropIn}\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/hosts"\n`,
    )
  })

  test('that depends on what is not to be seen from a container is left, with what to mount', () => {
    const wish = parseWish('127.0.0.1:5001', 'docker.io,*')
    const { blocked, notes } = planContainerd(viewOf({ [CONFIG]: LIST }, ['/etc/docker']), wish)
    expect(blocked.map(({ reason }) => reason)).toEqual([
      expect.stringContaining('might hide what is in /etc/docker/certs.d, which is not to be seen from here'),
    ])
    expect(notes.join()).toContain('mount /etc/docker/certs.d below --root')
    expect(() => planContainerd(viewOf({}, ['/etc/containerd']), wish)).toThrow(
      `${CONFIG}: is not to be seen`,
    )
    for (const pattern of ['/opt/x.toml', '/opt/*.toml']) {
      const files = { [CONFIG]: `version = 2\nimports = ["${pattern}"]\n` }
      expect(() => planContainerd(viewOf(files, ['/opt']), wish)).toThrow('imports /opt')
    }
  })

  test('that imports itself, or files that are not there, is read once', () => {
    const text = 'version = 2\nimports = ["config.toml", "/none/*.toml", "../../../x/?.toml"]\n'
    expect(texts({ [CONFIG]: text })[CONFIG]).toContain('config_path')
  })

  test('that switches Kubernetes’ part off, as Docker’s package does, is not touched', () => {
    const { files, notes } = plan({ [CONFIG]: 'disabled_plugins = ["cri"]\n' })
    expect(files.map(({ path }) => path)).toEqual(['/etc/containerd/certs.d/docker.io/hosts.toml'])
    expect(notes.join()).toContain('switches the CRI plugin off')
  })

  test.each<[string, string, string]>([
    ['is not valid', 'version = 2\n[plugins\n', 'line 2, column'],
    [
      'has mirrors of the old kind',
      'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\nendpoint = ["https://x"]\n',
      'registry.mirrors (docker.io)',
    ],
    [
      'has certificates of the old kind',
      'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry.configs."a.io".tls]\nca_file = "x"\n',
      'registry.configs.tls (a.io)',
    ],
    [
      'has a path that is none',
      'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "certs.d"\n',
      'no absolute path',
    ],
  ])('that %s is refused', (_what, text, reason) => {
    expect(() => plan({ [CONFIG]: text })).toThrow(RuntimeRefusedError)
    expect(() => plan({ [CONFIG]: text })).toThrow(reason)
  })

  test('whose tables are inline is left, with the line to add', () => {
    const text = 'version = 2\nplugins = { "io.containerd.grpc.v1.cri" = { sandbox_image = "x" } }\n'
    expect(texts({ [CONFIG]: text })[CONFIG]).toContain('refused: has its tables written so that no line')
  })

  test('of k3s or RKE2 is not written: they write it themselves', () => {
    const folder = '/var/lib/rancher/rke2/agent/etc/containerd/config.toml'
    expect(() => plan({ [folder]: '' })).toThrow('/etc/rancher/rke2/registries.yaml')
    expect(plan({ [folder]: '', [CONFIG]: 'version = 2\n' }).files).toHaveLength(2)
  })

  test('of any tables gets this key and nothing else, and every other byte stays', () => {
    const name = fc.constantFrom(
      'cri',
      'registry',
      'a b',
      'io.containerd.grpc.v1.cri',
      'io.containerd.cri.v1.images',
    )
    const value = fc.oneof(fc.string(), fc.boolean(), fc.array(fc.string(), { maxLength: 2 }))
    const table = fc.dictionary(fc.oneof(name, fc.string({ maxLength: 4 })), value, { maxKeys: 3 })
    const plugin = fc.record({ registry: table, other: table, x: value }, { requiredKeys: [] })
    const document = fc.record(
      {
        version: fc.constantFrom(1n, 2n, 3n),
        root: fc.string(),
        plugins: fc.dictionary(name, plugin, { maxKeys: 3 }),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(document, (given) => {
        const before = stringify(given)
        const merged = withConfigPath(CONFIG, '/certs', before)
        if (merged.kind === 'refused') return
        const was = parse(before, { integersAsBigInt: true })
        const hasFullName = at(was, ...V2.slice(0, 2)) !== undefined
        const first = hasFullName ? V2 : V1
        const keys = [first, first, V2, V3][Number(given.version ?? 1n)]!
        const isEmpty = Object.keys(was).length === 0
        const wanted = withValue(isEmpty ? { version: 2n } : was, isEmpty ? V2 : keys, '/certs')
        expect(isSameDocument(parse(merged.text, { integersAsBigInt: true }), wanted)).toBe(true)
        if (at(was, ...keys) === undefined) {
          const length = merged.text.length - before.length
          const isInsertion = Array.from({ length: before.length + 1 }, (_, i) => i).some(
            (i) => merged.text.slice(0, i) + merged.text.slice(i + length) === before,
          )
          expect(isInsertion).toBe(true)
        }
      }),
    )
  })
})
