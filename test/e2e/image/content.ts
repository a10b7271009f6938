/** What is in the image: its files, its configuration, its size. */
import { createReadStream, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { extract, type Header } from 'tar-stream'
import { beforeAll, expect, test } from 'vitest'
import { type ImageEngine, REPOSITORY } from '../../support/image-engine.ts'

/** Decimal, as Docker counts. */
const ADDED_BYTES_MAX = 14e6
const USER = 65_532

export function imageContentSuite(use: () => ImageEngine): void {
  let entries: Header[]
  let baseNames: Set<string>
  beforeAll(async () => {
    entries = await entriesOf(use(), use().image)
    baseNames = new Set((await entriesOf(use(), use().baseImage)).map(({ name }) => name))
  })

  test('less than 14 MB more than its base', async () => {
    const size = async (name: string) => Number((await inspect(use(), name)).Size)
    const added = (await size(use().image)) - (await size(use().baseImage))
    expect(added).toBeGreaterThan(5e6)
    expect(added).toBeLessThan(ADDED_BYTES_MAX)
  })

  test('its own files in /opt/shoal and /var/lib/shoal, and nothing elsewhere', () => {
    const added = entries.filter(({ name }) => !baseNames.has(name)).map(({ name }) => name)
    expect(added.length).toBeGreaterThan(1_000)
    const elsewhere = added.filter((name) => !/^(opt\/|opt\/shoal\/.*|var\/lib\/shoal\/.*)$/.test(name))
    expect(elsewhere).toEqual([])
  })

  test('no sources, no tests, no packages of development', () => {
    const names = entries.filter(({ name }) => name.startsWith('opt/shoal/')).map(({ name }) => name)
    expect(
      names.filter((name) => /\.(ts|mts|map|tsbuildinfo)$|\.test\.js$|\/src\/.*\.ts$/.test(name)),
    ).toEqual([])
    expect(names).toContain('opt/shoal/node_modules/fastify/package.json')
    const served = dependenciesOfPackages()
    for (const name of Object.keys(project().devDependencies).filter((name) => !served.has(name)))
      expect(names).not.toContain(`opt/shoal/node_modules/${name}/package.json`)
  })

  test('files of root that nobody else may write, and none that give rights', () => {
    const own = entries.filter(({ name }) => name.startsWith('opt/shoal/'))
    expect(own.filter(({ uid, gid }) => uid !== 0 || gid !== 0)).toEqual([])
    const loose = own.filter(({ mode, type }) => type !== 'symlink' && ((mode ?? 0) & 0o6022) !== 0)
    expect(loose).toEqual([])
    const state = entries.filter(({ name }) => name.startsWith('var/lib/shoal'))
    expect(state.length).toBeGreaterThanOrEqual(4)
    expect(state.filter(({ uid, gid }) => uid !== USER || gid !== USER)).toEqual([])
  })

  test('a configuration that needs no flags', async () => {
    const { Config: config, Architecture: architecture } = await inspect(use(), use().image)
    expect(architecture).toBe(process.arch === 'arm64' ? 'arm64' : 'amd64')
    expect(config).toMatchObject({
      User: `${USER}:${USER}`,
      Entrypoint: ['shoal'],
      StopSignal: 'SIGTERM',
      Healthcheck: { Test: ['CMD', 'shoal', 'health'] },
      Labels: {
        'org.opencontainers.image.licenses': 'Apache-2.0',
        'org.opencontainers.image.title': 'shoal',
      },
    })
    for (const variable of [
      'SHOAL_DATA=/var/lib/shoal/seeder',
      'SHOAL_ORIGIN=/var/lib/shoal/origin',
      'SHOAL_CACHE=/var/lib/shoal/cache',
    ]) {
      expect(config.Env).toContain(variable)
    }
  })

  test('the project’s own version, and its Dockerfile the project’s own Node', async () => {
    const { version, devDependencies } = project()
    const dockerfile = readFileSync(join(REPOSITORY, 'deploy/Dockerfile'), 'utf8')
    expect(dockerfile).toContain(`ARG VERSION=${version}\n`)
    expect(dockerfile).toContain(`ARG BASE=node:${devDependencies.node}-`)
    const { Config: config } = await inspect(use(), use().image)
    expect(config.Labels['org.opencontainers.image.version']).toBe(version)
  })
}

/** What development needs as well may be a package of production all the same. */
function dependenciesOfPackages(): Set<string> {
  const manifests = globSync('packages/*/package.json', { cwd: REPOSITORY })
  return new Set(
    manifests.flatMap((path) =>
      Object.keys(JSON.parse(readFileSync(join(REPOSITORY, path), 'utf8')).dependencies ?? {}),
    ),
  )
}

function project(): { version: string; devDependencies: Record<string, string> } {
  return JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'))
}

async function inspect(
  { engine }: ImageEngine,
  name: string,
  // biome-ignore lint/suspicious/noExplicitAny: what Docker answers
): Promise<any> {
  return JSON.parse((await engine.docker(['image', 'inspect', name])).stdout)[0]
}

async function entriesOf({ engine, folder }: ImageEngine, image: string): Promise<Header[]> {
  const container = (await engine.docker(['create', image, 'none'])).stdout.trim()
  const path = join(folder.path, `${container}.tar`)
  await engine.docker(['export', '--output', path, container])
  await engine.docker(['rm', container])
  const entries: Header[] = []
  for await (const entry of createReadStream(path).pipe(extract())) {
    entries.push(entry.header)
    entry.resume()
  }
  return entries
}
