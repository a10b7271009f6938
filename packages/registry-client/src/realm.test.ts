/** Goal: who is given a registry's credentials. Method: registries and realms as they are, and as an attacker would name them. */
import { describe, expect, test } from 'vitest'
import { upstreamAddress } from './address.ts'
import { UpstreamRealmRefusedError } from './errors.ts'
import { checkRealm } from './realm.ts'

const check = (
  registry: string,
  realm: string,
  init: { url?: string; named?: string[]; anonymous?: boolean } = {},
) =>
  checkRealm({
    realm,
    registry: upstreamAddress(registry, init.url),
    hasCredentials: init.anonymous !== true,
    trustedHosts: init.named ?? [],
  })

describe('with credentials', () => {
  test.each([
    ['docker.io', 'https://auth.docker.io/token'],
    ['quay.io', 'https://quay.io/v2/auth'],
    ['ghcr.io', 'https://ghcr.io/token'],
    ['us-docker.pkg.dev', 'https://us-docker.pkg.dev/v2/token'],
    ['registry.gitlab.com', 'https://gitlab.com/jwt/auth'],
    ['registry.digitalocean.com', 'https://api.digitalocean.com/v2/registry/auth'],
    ['rg.fr-par.scw.cloud', 'https://api.scaleway.com/registry-internal/v1/regions/fr-par/tokens'],
    ['team.azurecr.io', 'https://team.azurecr.io/oauth2/token'],
    ['registry.corp.co.uk', 'https://login.corp.co.uk/token'],
    ['registry.corp:5000', 'https://registry.corp:5001/auth'],
  ])('%s may name %s', async (registry, realm) => {
    expect((await check(registry, realm)).href).toBe(realm)
  })

  test.each([
    ['docker.io', 'https://auth.docker.io.evil.example/token'],
    ['docker.io', 'https://evil.example/auth.docker.io'],
    ['docker.io', 'http://auth.docker.io/token'],
    ['docker.io', 'https://auth.docker.io@evil.example/token'],
    ['docker.io', 'https://user:pw@auth.docker.io/token'],
    ['docker.io', 'https://xdocker.io/token'],
    ['registry.corp.co.uk', 'https://evil.co.uk/token'],
    ['team.azurecr.io', 'https://evil.azurecr.io/oauth2/token'],
    ['team.jfrog.io', 'https://evil.jfrog.io/token'],
    ['team.github.io', 'https://evil.github.io/token'],
    ['registry.corp', 'https://auth.corp/token'],
    ['10.0.0.5:5000', 'https://10.0.0.6/token'],
    ['quay.io', 'file:///etc/passwd'],
    ['quay.io', 'quay'],
    ['quay.io', ''],
  ])('%s may not name %s', async (registry, realm) => {
    await expect(check(registry, realm)).rejects.toThrow(UpstreamRealmRefusedError)
  })

  test('a host that the operator has named may be named, over TLS', async () => {
    const named = ['auth.corp']
    expect((await check('registry.corp', 'https://auth.corp/token', { named })).host).toBe('auth.corp')
    await expect(check('registry.corp', 'http://auth.corp/token', { named })).rejects.toThrow(/without TLS/)
  })

  test('plain http is for the host that the operator has written it for', async () => {
    const url = 'http://registry.corp:5000'
    expect((await check('registry.corp:5000', 'http://registry.corp:5001/t', { url })).port).toBe('5001')
    await expect(
      check('registry.corp:5000', 'http://auth.corp/t', { url, named: ['auth.corp'] }),
    ).rejects.toThrow(/without TLS/)
  })
})

test('without credentials anywhere may be asked, over TLS where the registry has it', async () => {
  const anonymous = true
  expect((await check('quay.io', 'https://elsewhere.example/t', { anonymous })).host).toBe(
    'elsewhere.example',
  )
  await expect(check('quay.io', 'http://elsewhere.example/t', { anonymous })).rejects.toThrow(/without TLS/)
  const url = 'http://127.0.0.1:5000'
  expect((await check('127.0.0.1:5000', 'http://127.0.0.2/t', { anonymous, url })).host).toBe('127.0.0.2')
})
