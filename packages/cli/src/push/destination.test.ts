/** Goal: a push goes where the person means, and in plain HTTP nowhere else than to this machine unless told. */
import { ReferenceInvalidError } from '@shoal/oci'
import { describe, expect, test } from 'vitest'
import { parseDestination } from './destination.ts'

describe('a destination', () => {
  test.each([
    ['localhost/a', 'http://localhost', 'a', 'latest'],
    ['localhost:5000/team/app:1', 'http://localhost:5000', 'team/app', '1'],
    ['127.0.0.1:5000/a:1', 'http://127.0.0.1:5000', 'a', '1'],
    ['127.9.8.7/a', 'http://127.9.8.7', 'a', 'latest'],
    ['[::1]:5000/a', 'http://[::1]:5000', 'a', 'latest'],
    ['seeder.localhost:80/a', 'http://seeder.localhost:80', 'a', 'latest'],
    ['registry.example/a/b:x', 'https://registry.example', 'a/b', 'x'],
    ['10.0.0.1:5000/a', 'https://10.0.0.1:5000', 'a', 'latest'],
    ['[::2]/a', 'https://[::2]', 'a', 'latest'],
    // Names that only begin like this machine's.
    ['127.0.0.1.example/a', 'https://127.0.0.1.example', 'a', 'latest'],
    ['localhost.example/a', 'https://localhost.example', 'a', 'latest'],
    ['notlocalhost:1/a', 'https://notlocalhost:1', 'a', 'latest'],
    ['http://seeder/team/app:1', 'http://seeder', 'team/app', '1'],
    ['http://seeder:5000/docker.io/library/a:1', 'http://seeder:5000', 'docker.io/library/a', '1'],
    ['https://localhost:5000/a', 'https://localhost:5000', 'a', 'latest'],
  ])('%s', (text, registryUrl, repository, tag) => {
    const { host, ...rest } = parseDestination(text)
    expect(rest).toEqual({ registryUrl, repository, tag })
    expect(registryUrl.endsWith(`://${host}`)).toBe(true)
  })

  test.each([
    '',
    'app',
    'team/app:1',
    'localhost:5000',
    'localhost:5000/',
    'localhost:5000/UPPER',
    'localhost:99999/a',
    'http://',
    'http:///a',
    'http://user:secret@host/a',
    'ftp://host/a',
    `localhost/a@sha256:${'0'.repeat(64)}`,
    'localhost/a:tag with spaces',
    'localhost/../a',
  ])('%j is none', (text) => {
    expect(() => parseDestination(text)).toThrow(ReferenceInvalidError)
  })
})
