/**
 * Goal: what is written into other programs' configuration can only be hosts, ports and plain URLs.
 * Method: good lists, then everything that could end a string, leave a folder or mean something else.
 */
import { describe, expect, test } from 'vitest'
import { ClientWishError } from './errors.ts'
import { mirrorPath, parseWish, registriesText, registryUrl } from './wish.ts'

const wish = (registries: string, agent = '127.0.0.1:5001') => parseWish(agent, registries)

describe('what is asked for', () => {
  test('is hosts, where they really are, and the rest of the world', () => {
    const { registries, everyRegistry } = wish(
      ' docker.io, registry.corp:5000 = http://10.0.0.5:5000/ ,*,quay.io,',
    )
    expect(everyRegistry).toBe(true)
    expect(
      registries.map((registry) => [registry.host, registryUrl(registry), mirrorPath(registry)]),
    ).toEqual([
      ['docker.io', 'https://registry-1.docker.io', 'docker.io'],
      ['registry.corp:5000', 'http://10.0.0.5:5000', 'registry.corp_5000'],
      ['quay.io', 'https://quay.io', 'quay.io'],
    ])
  })

  test('can be said again in the same words', () => {
    const text = '*,docker.io,registry.corp:5000=http://10.0.0.5:5000'
    expect(registriesText(wish(text))).toBe(text)
    expect(registriesText(wish('index.docker.io,docker.io'))).toBe('docker.io')
  })

  test.each([
    '',
    ',',
    '..',
    '../../etc',
    'a.b/../../c',
    '/etc/passwd',
    'docker',
    'a b.io',
    'a.io\nb.io',
    'a.io"',
    "a'.io",
    'a.io]',
    '*.corp',
    'docker.*',
    '_default',
    '[::1]:5000',
    'a.io:0',
    'a.io:65536',
    'a.io=ftp://x',
    'a.io=http://x"y',
    'a.io=http://x/a\\b',
    'a.io=http://x/a"b',
    'a.io=http://user:password@x',
    'a.io=http://x/?q',
    'a.io=http://x:99999',
    'a.io=http://a.io,a.io=http://b.io',
    `${'x'.repeat(300)}.io`,
    Array.from({ length: 501 }, (_, i) => `r${i}.io`).join(','),
    'a.io,'.repeat(20_000),
  ])('is refused: %j', (registries) => {
    expect(() => wish(registries)).toThrow(ClientWishError)
  })

  test.each([
    '',
    '127.0.0.1',
    ':5001',
    'http://127.0.0.1:5001',
    '127.0.0.1:5001/',
    '127.0.0.1:0',
    '127.0.0.1:70000',
    '127.0.0.1:5001\n',
    '127.0.0.1:5001"',
    '[::1]:5001',
    'a b:5001',
  ])('asks no agent at %j', (agent) => {
    expect(() => wish('docker.io', agent)).toThrow(ClientWishError)
  })
})
