/** Goal: the small deciding parts, on their edges. Method: tables. */
import { describe, expect, test } from 'vitest'
import { repositoryAt, upstreamAddress } from './address.ts'
import { ecrRegistryOf } from './ecr.ts'
import { UpstreamAddressInvalidError } from './errors.ts'
import { mayLead } from './may-lead.ts'
import { readRateLimit, readRetryAtMs } from './rate-limit.ts'

describe('an address', () => {
  test.each([
    ['docker.io', undefined, 'docker.io', 'https://registry-1.docker.io'],
    ['index.docker.io', undefined, 'docker.io', 'https://registry-1.docker.io'],
    ['Quay.io', undefined, 'quay.io', 'https://quay.io'],
    ['registry.corp:5000', undefined, 'registry.corp:5000', 'https://registry.corp:5000'],
    ['localhost:5000', undefined, 'localhost:5000', 'https://localhost:5000'],
    ['localhost:5000', 'http://localhost:5000/', 'localhost:5000', 'http://localhost:5000'],
    [
      'corp.example',
      'https://art.corp.example/api/docker/',
      'corp.example',
      'https://art.corp.example/api/docker',
    ],
  ])('%s at %s', (host, url, name, base) => {
    expect(upstreamAddress(host, url)).toEqual({ host: name, url: base })
  })

  test.each([
    ['library', undefined],
    ['a b.c', undefined],
    ['quay.io/x', undefined],
    ['quay.io', 'quay.io'],
    ['quay.io', 'ftp://quay.io'],
    ['quay.io', 'https://user:pw@quay.io'],
    ['quay.io', 'https://quay.io/?x'],
  ])('%s at %s is none, and no secret is told', (host, url) => {
    expect(() => upstreamAddress(host, url)).toThrow(UpstreamAddressInvalidError)
    expect(() => upstreamAddress(host, url)).not.toThrow(/pw/)
  })

  test('official images are below library/', () => {
    expect(repositoryAt(upstreamAddress('docker.io'), 'nginx')).toBe('library/nginx')
    expect(repositoryAt(upstreamAddress('docker.io'), 'team/nginx')).toBe('team/nginx')
    expect(repositoryAt(upstreamAddress('quay.io'), 'nginx')).toBe('nginx')
    expect(() => repositoryAt(upstreamAddress('quay.io'), '../x')).toThrow()
  })

  test.each([
    ['123456789012.dkr.ecr.eu-west-1.amazonaws.com', { accountId: '123456789012', region: 'eu-west-1' }],
    ['123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn', { accountId: '123456789012', region: 'cn-north-1' }],
    ['123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example', undefined],
    ['x123456789012.dkr.ecr.eu-west-1.amazonaws.com', undefined],
    ['123456789012.dkr.ecr.eu-west-1.amazonaws.com:443', undefined],
  ])('%s is of ECR: %o', (host, registry) => {
    expect(ecrRegistryOf(host)).toEqual(registry)
  })
})

test('nobody leads to link-local from elsewhere, and a neighbour not to this machine', () => {
  expect(mayLead('public', 'public')).toBe(true)
  for (const to of ['private', 'loopback', 'link-local', 'reserved'] as const) {
    expect(mayLead('public', to)).toBe(false)
  }
  expect(mayLead('private', 'private')).toBe(true)
  expect(mayLead('private', 'loopback')).toBe(false)
  expect(mayLead('loopback', 'private')).toBe(true)
  expect(mayLead('loopback', 'link-local')).toBe(false)
})

describe('a rate limit', () => {
  const nowMs = Date.parse('2026-03-01T00:00:00Z')
  const retry = (value?: string) =>
    readRetryAtMs((name) => (name === 'retry-after' ? value : undefined), nowMs) - nowMs

  test.each([
    [undefined, 60_000],
    ['soon', 60_000],
    ['-1', 60_000],
    ['0', 0],
    ['1.5', 1_500],
    ['120', 120_000],
    ['999999999', 6 * 3_600_000],
    [String(nowMs / 1_000 + 90), 90_000],
    ['Sun, 01 Mar 2026 00:02:00 GMT', 120_000],
    ['Sat, 28 Feb 2026 00:00:00 GMT', 0],
    ['Sun, 01 Mar 2099 00:00:00 GMT', 6 * 3_600_000],
  ])('Retry-After: %s is %i ms', (value, waitMs) => {
    expect(retry(value)).toBe(waitMs)
  })

  test.each([
    ['76;w=21600', '100;w=21600', { remaining: 76, limit: 100, windowSeconds: 21_600 }],
    ['76', undefined, { remaining: 76 }],
    ['76, 10;w=1', '100, 100;w=60', { remaining: 76, limit: 100 }],
    ['many', '100', undefined],
    [undefined, '100', undefined],
  ])('RateLimit-Remaining: %s of %s', (remaining, limit, expected) => {
    const headers: Record<string, string | undefined> = {
      'ratelimit-remaining': remaining,
      'ratelimit-limit': limit,
    }
    const found = readRateLimit((name) => headers[name], nowMs)
    expect(found).toEqual(expected === undefined ? undefined : { ...expected, atMs: nowMs })
  })
})
