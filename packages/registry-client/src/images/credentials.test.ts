/** Goal: what docker login wrote is found for its host and for no other. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { credentialsFor } from './credentials.ts'
import { DockerConfigError } from './errors.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-credentials-'))
  vi.stubEnv('DOCKER_CONFIG', folder)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})
const write = (text: string) => writeFile(join(folder, 'config.json'), text)

test('a host has its own, in whichever form it was written', async () => {
  const auths = {
    'one:5000': { auth: 'b25lOjE=' },
    'https://two/v1/': { username: 'two', password: 'a:b' },
    three: {},
  }
  await write(JSON.stringify({ auths }))
  expect(await credentialsFor('one:5000')).toBe('Basic b25lOjE=')
  expect(await credentialsFor('two')).toBe(`Basic ${Buffer.from('two:a:b').toString('base64')}`)
  for (const host of ['one', 'one:5001', 'three', 'constructor', '__proto__'])
    expect(await credentialsFor(host)).toBeUndefined()
})

test('no file, and one without credentials, have none', async () => {
  expect(await credentialsFor('one')).toBeUndefined()
  await write('{"credsStore":"desktop"}')
  expect(await credentialsFor('one')).toBeUndefined()
})

test('a file that cannot be read is an error', async () => {
  await write('{')
  await expect(credentialsFor('one')).rejects.toThrow(DockerConfigError)
})
