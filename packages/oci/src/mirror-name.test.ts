/**
 * Goal: every registry's repositories have one name here, and the name leads back to them.
 * Method: the names that clients send, then random hosts and repositories there and back.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mirroredName, splitMirroredName } from './mirror-name.ts'
import {
  parseHostList,
  parseRealmHosts,
  parseUpstreamList,
  parseWatchList,
  UpstreamListInvalidError,
} from './upstream-list.ts'

describe('a mirrored repository', () => {
  test.each([
    ['docker.io', 'nginx', 'docker.io/library/nginx'],
    ['index.docker.io', 'library/nginx', 'docker.io/library/nginx'],
    ['registry-1.docker.io', 'grafana/grafana', 'docker.io/grafana/grafana'],
    ['GHCR.io', 'org/app', 'ghcr.io/org/app'],
    ['registry.corp:5000', 'team/app', 'registry.corp_5000/team/app'],
    ['localhost:5000', 'a', 'localhost_5000/a'],
    ['127.0.0.1:5000', 'a', '127.0.0.1_5000/a'],
  ])('%s %s is kept as %s', (host, repository, name) => {
    expect(mirroredName(host, repository)).toBe(name)
    const split = splitMirroredName(name)!
    expect(mirroredName(split.host, split.repository)).toBe(name)
  })

  test.each([
    ['team', 'a'],
    ['', 'a'],
    ['..', 'a'],
    ['a.b', '../x'],
    ['[::1]:5000', 'a'],
    ['a.b/c', 'd'],
    [`${'x'.repeat(250)}.io`, 'a/b'],
  ])('%s %s has no name', (host, repository) => {
    expect(mirroredName(host, repository)).toBeUndefined()
  })

  test('a name without a host is none', () => {
    for (const name of ['nginx', 'team/app', 'library/nginx', 'my_team/app'])
      expect(splitMirroredName(name)).toBeUndefined()
  })

  test('random ones, there and back', () => {
    const label = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/)
    const host = fc
      .tuple(label, label, fc.option(fc.integer({ min: 1, max: 65_535 }), { nil: undefined }))
      .map(([a, b, port]) => `${a}.${b}${port === undefined ? '' : `:${port}`}`)
    const repository = fc.array(label, { minLength: 2, maxLength: 4 }).map((parts) => parts.join('/'))
    fc.assert(
      fc.property(host, repository, (from, name) => {
        expect(splitMirroredName(mirroredName(from, name)!)).toEqual({ host: from, repository: name })
      }),
    )
  })
})

describe('lists in settings', () => {
  test('of upstreams', () => {
    expect(parseUpstreamList(' docker.io, registry.corp:5000 = http://10.0.0.5:5000 ,')).toEqual([
      { host: 'docker.io' },
      { host: 'registry.corp:5000', url: 'http://10.0.0.5:5000' },
    ])
    expect(parseUpstreamList('')).toEqual([])
    for (const bad of ['docker', 'a.b=ftp://x', 'a.b=x', 'a b.io'])
      expect(() => parseUpstreamList(bad)).toThrow(UpstreamListInvalidError)
  })

  test('of token servers elsewhere', () => {
    const realms = parseRealmHosts(
      'nvcr.io=authn.nvidia.com, Registry.corp:5000=Sso.corp,registry.corp:5000=b.corp',
    )
    expect([...realms]).toEqual([
      ['nvcr.io', ['authn.nvidia.com']],
      ['registry.corp:5000', ['sso.corp', 'b.corp']],
    ])
    expect(parseRealmHosts('').size).toBe(0)
    for (const bad of [
      'nvcr.io',
      'nvcr.io=',
      '=a.b',
      'nvcr.io=https://a.b',
      'nvcr.io=a.b/c',
      'nvcr.io=a.b:443',
    ])
      expect(() => parseRealmHosts(bad)).toThrow(UpstreamListInvalidError)
  })

  test('of hosts and of what is watched', () => {
    expect(parseHostList('registry.corp,localhost:7000')).toEqual(['registry.corp', 'localhost:7000'])
    expect(() => parseHostList('x')).toThrow(UpstreamListInvalidError)
    expect(parseWatchList('docker.io/library/nginx:1.*,r.corp:5000/a')).toEqual([
      { host: 'docker.io', repository: 'library/nginx', tags: '1.*' },
      { host: 'r.corp:5000', repository: 'a', tags: '*' },
    ])
    for (const bad of ['nginx:1', 'docker.io', 'docker.io/A:1', 'docker.io/a:b c'])
      expect(() => parseWatchList(bad)).toThrow(UpstreamListInvalidError)
  })
})
