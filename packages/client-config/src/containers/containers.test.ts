/**
 * Goal: CRI-O and podman ask the agent for what was asked for, and no entry of somebody else's is replaced.
 * Method: one golden file; files of a host in memory in both formats of registries.conf.
 */
import { describe, expect, test } from 'vitest'
import { RuntimeRefusedError } from '../errors.ts'
import { viewOf } from '../testing/host-in-memory.ts'
import { parseWish } from '../wish.ts'
import { planContainers } from './containers.ts'

const FILE = '/etc/containers/registries.conf.d/50-shoal.conf'
const MAIN = '/etc/containers/registries.conf'
const plan = (files: Record<string, string>, registries = 'docker.io') =>
  planContainers(viewOf(files), parseWish('127.0.0.1:5001', registries), ['crio', 'podman'])
const text = (files: Record<string, string>, registries?: string) => {
  const merged = plan(files, registries).files[0]?.merge(files[FILE])
  return merged?.kind === 'text' ? merged.text : merged?.reason
}

describe('registries.conf.d', () => {
  test('has an entry for each registry, with where it is without Shoal', () => {
    expect(text({}, 'docker.io,registry.corp:5000=http://10.0.0.5:5000')).toBe(`\
# Written by shoal install-client; shoal uninstall-client takes it back, unless it was edited.

[[registry]]
prefix = "docker.io"
location = "docker.io"

[[registry.mirror]]
location = "127.0.0.1:5001/docker.io"
insecure = true

[[registry]]
prefix = "registry.corp:5000"
location = "10.0.0.5:5000"
insecure = true

[[registry.mirror]]
location = "127.0.0.1:5001/registry.corp_5000"
insecure = true
`)
  })

  test.each<[string, string, string, string]>([
    ['a location', MAIN, '[[registry]]\nlocation = "docker.io"\nblocked = true\n', 'docker.io'],
    [
      'a prefix',
      `${FILE}x.conf`,
      '[[registry]]\nprefix = "docker.io"\nlocation = "mirror.corp"\n',
      'docker.io',
    ],
    ['a wildcard', MAIN, '[[registry]]\nprefix = "*.corp"\nblocked = true\n', 'registry.corp:5000'],
    ['the first format', MAIN, '[registries.insecure]\nregistries = ["quay.io"]\n', 'quay.io'],
  ])('leaves what has an entry already: %s', (_what, path, content, registry) => {
    const { files, blocked } = plan({ [path]: content }, `ghcr.io,${registry}`)
    expect(blocked).toEqual([
      { path, reason: expect.stringContaining(`has an entry for ${registry} already`) },
    ])
    expect(files.map((file) => file.path)).toEqual([FILE])
    expect(text({ [path]: content }, `ghcr.io,${registry}`)).not.toContain(registry)
  })

  test('does not mind other prefixes of the same location, nor narrower ones, which it notes', () => {
    const { blocked, notes } = plan({
      [MAIN]:
        '[[registry]]\nprefix = "example.com"\nlocation = "docker.io"\n[[registry]]\nlocation = "docker.io/library"\n',
    })
    expect(blocked).toEqual([])
    expect(notes).toEqual([`${MAIN} has an entry for docker.io/library, which goes on to count`])
  })

  test('says what cannot be had there', () => {
    const { notes } = plan({}, '*,a.io=https://b.io/path')
    expect(notes.join('\n')).toContain('* is not known')
    expect(notes.join('\n')).toContain('without Shoal a.io itself is asked')
    expect(text({}, '*,a.io=https://b.io/path')).toContain('location = "a.io"')
    expect(plan({}, '*').files).toEqual([])
  })

  test('that cannot be read is refused with the place', () => {
    expect(() => plan({ [MAIN]: '[[registry]\n' })).toThrow(RuntimeRefusedError)
    expect(() => plan({ [MAIN]: '[[registry]\n' })).toThrow(
      /registries\.conf: is not valid TOML \(line 1, column/,
    )
  })
})
