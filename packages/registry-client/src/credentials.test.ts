/**
 * Goal: who Shoal is at each registry, from every place where it can stand, also after that has changed; and errors that
 * name the place and nothing else. Method: real files and helper programs in a folder of the test's own.
 */
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Credentials } from './credentials.ts'
import { CredentialsInvalidError } from './errors.ts'

const SECRET = 's3cret-password'
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-credentials-'))
})
afterEach(() => rm(folder, { recursive: true }))

const encoded = (text: string) => Buffer.from(text).toString('base64')

async function configured(document: unknown, name = 'config.json'): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, typeof document === 'string' ? document : JSON.stringify(document))
  return path
}

async function fromConfig(document: unknown): Promise<Credentials> {
  return new Credentials({ environment: {}, dockerConfigFile: await configured(document) })
}

describe('the environment', () => {
  test('by the host’s name', async () => {
    const credentials = new Credentials({
      environment: {
        SHOAL_UPSTREAM_DOCKER_IO_USERNAME: 'robot',
        SHOAL_UPSTREAM_DOCKER_IO_PASSWORD: 'a:b',
        SHOAL_UPSTREAM_REGISTRY_CORP_5000_USERNAME: 'ci',
        SHOAL_UPSTREAM_REGISTRY_CORP_5000_PASSWORD: 'x',
      },
    })
    for (const host of ['docker.io', 'index.docker.io', 'Docker.IO']) {
      expect(await credentials.forHost(host)).toEqual({ username: 'robot', password: 'a:b' })
    }
    expect(await credentials.forHost('registry.corp:5000')).toEqual({ username: 'ci', password: 'x' })
    expect(await credentials.forHost('registry.corp')).toBeUndefined()
  })

  test.each([
    [{ SHOAL_UPSTREAM_QUAY_IO_PASSWORD: SECRET }],
    [{ SHOAL_UPSTREAM_QUAY_IO_USERNAME: 'robot' }],
    [{ SHOAL_UPSTREAM_QUAY_IO_USERNAME: 'a:b', SHOAL_UPSTREAM_QUAY_IO_PASSWORD: SECRET }],
  ])('half of it is an error', async (environment) => {
    const error = await new Credentials({ environment }).forHost('quay.io').catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(CredentialsInvalidError)
    expect(String(error)).toContain('SHOAL_UPSTREAM_QUAY_IO_USERNAME')
    expect(String(error)).not.toContain(SECRET)
  })
})

describe('Docker’s configuration', () => {
  test.each([
    'https://index.docker.io/v1/',
    'index.docker.io',
    'docker.io',
    'https://registry-1.docker.io/v2/',
  ])('knows Docker Hub as %s', async (server) => {
    const credentials = await fromConfig({ auths: { [server]: { auth: encoded('robot:a:b') } } })
    expect(await credentials.forHost('docker.io')).toEqual({ username: 'robot', password: 'a:b' })
    expect(await credentials.forHost('quay.io')).toBeUndefined()
  })

  test('with a user and a password, an identity token, or an empty entry', async () => {
    const credentials = await fromConfig({
      auths: {
        'quay.io': { username: 'robot', password: 'x' },
        'team.azurecr.io': { auth: encoded('00000000:'), identitytoken: 'refresh' },
        'ghcr.io': {},
        'registry.corp:5000': { auth: encoded('ci:x') },
        'quay.io/only/this': { auth: encoded('other:y') },
      },
      HttpHeaders: { 'User-Agent': 'x' },
    })
    expect(await credentials.forHost('quay.io')).toEqual({ username: 'robot', password: 'x' })
    expect(await credentials.forHost('team.azurecr.io')).toEqual({ identityToken: 'refresh' })
    expect(await credentials.forHost('ghcr.io')).toBeUndefined()
    expect(await credentials.forHost('registry.corp:5000')).toEqual({ username: 'ci', password: 'x' })
  })

  test('that is not there says nothing', async () => {
    const credentials = new Credentials({ environment: {}, dockerConfigFile: join(folder, 'none') })
    expect(await credentials.forHost('quay.io')).toBeUndefined()
  })

  test.each([
    ['no JSON', `{"auths": {"quay.io": {"auth": "${SECRET}`],
    ['a list', [SECRET]],
    ['auths that are none', { auths: [SECRET] }],
    ['an entry that is none', { auths: { 'quay.io': SECRET } }],
    ['a value that is no text', { auths: { 'quay.io': { password: { [SECRET]: 1 } } } }],
    ['an auth that is no base64', { auths: { 'quay.io': { auth: `${SECRET}:!` } } }],
    ['an auth without a user', { auths: { 'quay.io': { auth: encoded(`:${SECRET}`) } } }],
    ['a helper that is a path', { credHelpers: { 'quay.io': `../${SECRET}` } }],
    ['a store that is a path', { credsStore: `/${SECRET}` }],
    ['megabytes', ' '.repeat(1024 * 1024 + 1)],
  ])('with %s is an error that names the file and quotes nothing', async (_what, document) => {
    const credentials = await fromConfig(document)
    const error = await credentials.forHost('quay.io').catch((thrown: unknown) => thrown as Error)
    expect(error).toBeInstanceOf(CredentialsInvalidError)
    const { message, stack, cause } = error as Error
    expect(message).toContain(join(folder, 'config.json'))
    for (const secret of [SECRET, encoded(`:${SECRET}`)])
      expect(`${message}${stack}${cause}`).not.toContain(secret)
  })
})

describe('a pull secret', () => {
  test('of both kinds, after the rest', async () => {
    const credentials = new Credentials({
      environment: { SHOAL_UPSTREAM_A_EXAMPLE_USERNAME: 'env', SHOAL_UPSTREAM_A_EXAMPLE_PASSWORD: 'x' },
      dockerConfigFile: await configured({ auths: { 'b.example': { auth: encoded('docker:x') } } }),
      pullSecretFiles: [
        await configured(
          Object.fromEntries(['a', 'b', 'c'].map((name) => [`${name}.example`, { auth: encoded('old:x') }])),
          '.dockercfg',
        ),
        await configured({ auths: { 'd.example': { auth: encoded('new:x') } } }, '.dockerconfigjson'),
      ],
    })
    const users = ['a', 'b', 'c', 'd'].map(async (name) => await credentials.forHost(`${name}.example`))
    expect(await Promise.all(users)).toMatchObject(
      ['env', 'docker', 'old', 'new'].map((username) => ({ username, password: 'x' })),
    )
  })

  test('is read again when it rotates as Kubernetes does it: a link that turns', async () => {
    const generation = async (name: string, password: string) => {
      await mkdir(join(folder, name))
      const auths = { 'quay.io': { auth: encoded(`robot:${password}`) } }
      await writeFile(join(folder, name, '.dockerconfigjson'), JSON.stringify({ auths }))
    }
    await generation('one', 'aaaa')
    await generation('two', 'bbbb')
    await symlink('one', join(folder, '..data'))
    const path = join(folder, '..data', '.dockerconfigjson')
    const credentials = new Credentials({ environment: {}, pullSecretFiles: [path] })
    expect(await credentials.forHost('quay.io')).toMatchObject({ password: 'aaaa' })
    await symlink('two', join(folder, '..next'))
    await rename(join(folder, '..next'), join(folder, '..data'))
    expect(await credentials.forHost('quay.io')).toMatchObject({ password: 'bbbb' })
    await rm(join(folder, '..data'))
    expect(await credentials.forHost('quay.io')).toBeUndefined()
  })

  test('does not run programs', async () => {
    const pullSecretFiles = [await configured({ credsStore: 'missing', auths: {} })]
    const credentials = new Credentials({ environment: {}, pullSecretFiles })
    expect(await credentials.forHost('quay.io')).toBeUndefined()
  })
})

describe('a credential helper', () => {
  async function helper(name: string, script: string): Promise<void> {
    await writeFile(join(folder, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  }
  async function withHelpers(document: unknown, helperTimeoutMs = 10_000): Promise<Credentials> {
    const environment = { PATH: `${folder}:${process.env.PATH}`, FOLDER: folder }
    return new Credentials({ environment, helperTimeoutMs, dockerConfigFile: await configured(document) })
  }

  test('is asked on its standard input, for its host or for all', async () => {
    await helper(
      'one',
      `read server; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"$1 $server\\",\\"Secret\\":\\"x\\"}"`,
    )
    await helper('all', `echo '{"Username":"<token>","Secret":"refresh"}'`)
    const credentials = await withHelpers({
      credHelpers: { 'quay.io': 'one', 'docker.io': 'one' },
      credsStore: 'all',
      auths: { 'quay.io': {} },
    })
    expect(await credentials.forHost('quay.io')).toEqual({ username: 'get quay.io', password: 'x' })
    expect(await credentials.forHost('docker.io')).toMatchObject({
      username: 'get https://index.docker.io/v1/',
    })
    expect(await credentials.forHost('ghcr.io')).toEqual({ identityToken: 'refresh' })
  })

  test('is run once for all who ask together', async () => {
    await helper('one', `echo run >>"$FOLDER/runs"; echo '{"Username":"u","Secret":"x"}'`)
    const credentials = await withHelpers({ credsStore: 'one' })
    await Promise.all([1, 2, 3].map(() => credentials.forHost('quay.io')))
    const { readFile } = await import('node:fs/promises')
    expect(await readFile(join(folder, 'runs'), 'utf8')).toBe('run\n')
  })

  test('that knows nothing leaves it to the file', async () => {
    await helper('none', 'echo "credentials not found in native keychain"; exit 1')
    const credentials = await withHelpers({
      credsStore: 'none',
      auths: { 'quay.io': { auth: encoded('robot:x') } },
    })
    expect(await credentials.forHost('quay.io')).toMatchObject({ username: 'robot' })
    expect(await credentials.forHost('ghcr.io')).toBeUndefined()
  })

  test.each([
    ['fails', `echo ${SECRET}; echo ${SECRET} >&2; exit 3`, /exit code 3/],
    ['prints no JSON', `echo ${SECRET}`, /no JSON/],
    ['prints too little', `echo '{"Secret":"${SECRET}"}'`, /no JSON with a Username/],
    ['prints for ever', `yes ${SECRET}`, /more than 65536 bytes/],
    ['hangs, and its child with it', 'sleep 600', /within 300 ms/],
  ])('that %s is an error without its output', async (_what, script, message) => {
    await helper('bad', script)
    const credentials = await withHelpers({ credsStore: 'bad' }, script.startsWith('sleep') ? 300 : 10_000)
    const error = await credentials.forHost('quay.io').catch((thrown: unknown) => thrown as Error)
    expect(error).toBeInstanceOf(CredentialsInvalidError)
    expect((error as Error).message).toMatch(message)
    expect((error as Error).message).toContain('docker-credential-bad')
    expect((error as Error).stack).not.toContain(SECRET)
  })

  test('that is not installed', async () => {
    await expect((await withHelpers({ credsStore: 'missing' })).forHost('quay.io')).rejects.toThrow(
      /docker-credential-missing: it cannot be run \(ENOENT\)/,
    )
  })
})

test('ECR is what a host of Amazon is, unless something else was configured', async () => {
  const host = '123456789012.dkr.ecr.eu-west-1.amazonaws.com'
  const ecr = { accountId: '123456789012', region: 'eu-west-1' }
  expect(await new Credentials({ environment: {} }).forHost(host)).toEqual({ ecr })
  const credentials = await fromConfig({ auths: { [host]: { auth: encoded('AWS:x') } } })
  expect(await credentials.forHost(host)).toEqual({ username: 'AWS', password: 'x' })
})
