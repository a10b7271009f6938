/** Goal: what docker login wrote is found for its host and for no other. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { CredentialsInvalidError } from './errors.ts'
import { pushLogin } from './push-login.ts'

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
  expect(await pushLogin('one:5000')).toBe('Basic b25lOjE=')
  expect(await pushLogin('two')).toBe(`Basic ${Buffer.from('two:a:b').toString('base64')}`)
  for (const host of ['one', 'one:5001', 'three', 'constructor', '__proto__'])
    expect(await pushLogin(host)).toBeUndefined()
})

test('no file, and one without credentials, have none', async () => {
  expect(await pushLogin('one')).toBeUndefined()
  await write('{"credsStore":"desktop"}')
  expect(await pushLogin('one')).toBeUndefined()
})

test('a file that cannot be read is an error', async () => {
  await write('{')
  await expect(pushLogin('one')).rejects.toThrow(CredentialsInvalidError)
})

test('what is wrong with the entry of another host is no trouble', async () => {
  const auths = { other: { auth: 'not base64!' }, 'one:5000': { auth: 'b25lOjE=' } }
  await write(JSON.stringify({ auths }))
  expect(await pushLogin('one:5000')).toBe('Basic b25lOjE=')
  await expect(pushLogin('other')).rejects.toThrow(CredentialsInvalidError)
})
