/**
 * Goal: however a client joins a mirror's address and a repository, the same repository is meant, and nothing else becomes
 * one.
 * Method: the URLs that containerd, podman, CRI-O, BuildKit and Docker send, and what attackers put into `ns`.
 */
import { OciError } from '@shoal/oci'
import { describe, expect, test } from 'vitest'
import { inNamespace, rewriteMirrorUrl, withoutOwnHost } from './namespace.ts'
import { parseRegistryPath } from './path.ts'

test.each([
  ['/v2/', '/v2/'],
  ['/v2', '/v2'],
  ['/docker.io/v2/', '/v2/'],
  ['/docker.io/v2/library/nginx/manifests/1?ns=x', '/v2/docker.io/library/nginx/manifests/1?ns=x'],
  ['/v2/docker.io/library/nginx/manifests/1', '/v2/docker.io/library/nginx/manifests/1'],
  ['/v2/registry.corp:5000/app/blobs/sha256:ab', '/v2/registry.corp_5000/app/blobs/sha256:ab'],
  ['/v2/registry.corp%3A5000/app/tags/list', '/v2/registry.corp_5000/app/tags/list'],
  ['/registry.corp:5000/v2/app/tags/list', '/v2/registry.corp_5000/app/tags/list'],
  ['/v2/team/app/manifests/1', '/v2/team/app/manifests/1'],
  ['/team/v2/app/manifests/1', '/team/v2/app/manifests/1'],
  ['/api/v1/resolve?repository=a', '/api/v1/resolve?repository=a'],
  ['/v2/%zz/manifests/1', '/v2/%zz/manifests/1'],
  ['/metrics', '/metrics'],
])('%s is %s', (url, rewritten) => {
  expect(rewriteMirrorUrl(url)).toBe(rewritten)
  expect(rewriteMirrorUrl(rewritten)).toBe(rewritten)
})

test.each([
  ['10.0.0.10_7000/my/app', 'my/app'],
  ['docker.io/my/app', 'docker.io/my/app'],
  ['my/app', 'my/app'],
])('of the registry itself, %s is %s', (repository, meant) => {
  const path = parseRegistryPath(`/${repository}/manifests/1`)
  expect(withoutOwnHost(path, ['10.0.0.10:7000'])).toMatchObject({ repository: meant })
  expect(withoutOwnHost(path, [])).toBe(path)
})

describe('ns', () => {
  const path = parseRegistryPath('/library/nginx/manifests/1')
  test('names the registry', () => {
    expect(inNamespace(path, 'docker.io')).toEqual({ ...path, repository: 'docker.io/library/nginx' })
    expect(inNamespace(path, null)).toBe(path)
    const both = parseRegistryPath('/docker.io/library/nginx/manifests/1')
    expect(inNamespace(both, 'docker.io')).toBe(both)
    expect(inNamespace(parseRegistryPath('/'), 'docker.io')).toEqual({ kind: 'base' })
  })

  test.each(['x', '..', 'a b.io', 'docker.io/evil', '[::1]', 'http://a.io', 'a.io%2f', 'ä.io'])(
    '%s is a fast 404',
    (ns) => {
      expect(() => inNamespace(path, ns)).toThrow(OciError)
      try {
        inNamespace(path, ns)
      } catch (error) {
        expect((error as OciError).status).toBe(404)
      }
    },
  )
})
