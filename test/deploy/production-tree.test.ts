/**
 * Goal: the production tree has all that runs Shoal, and nothing else.
 * Method: it is assembled for both processors, in a temporary folder, from where no module of the checkout can be found. What
 * was left out is compared with the checkout's own node_modules; then the commands are run, and an image goes through them.
 */
import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { shoalProgram } from '../../packages/cli/src/program.ts'
import { freePort } from '../support/free-port.ts'
import { buildImage } from '../support/images.ts'
import { randomLayers } from '../support/layers.ts'
import { jsonEvent, runProcess, startProcess } from '../support/process.ts'
import { pullImage, pushImage } from '../support/push.ts'
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts'
import { fileReferences, packageEntries, packagesBelow } from './module-references.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
/** e_machine of ELF. */
const MACHINES = { x64: 62, arm64: 183 } as const
/** 12.4 MB and 123 packages when this was written; with webtorrent and its own, 26.9 MB and 265. */
const BYTES_MAX = 14e6
const PACKAGES_MAX = 140
/** Licences and what belongs to them stay, whatever their ending. */
const LEGAL = /(?:^|\/)(?:licen[cs]e|notice|copying|patents|authors)[^/]*$/i

let folder: TemporaryFolder
const treeOf = (cpu: string) => join(folder.path, cpu)
const here = process.arch === 'arm64' ? 'arm64' : 'x64'
beforeAll(async () => {
  folder = await temporaryFolder('production-tree')
  for (const cpu of ['x64', 'arm64']) {
    const words = [join(REPOSITORY, 'deploy/assemble.ts'), '--cpu', cpu, '--out', treeOf(cpu)]
    await runProcess(process.execPath, words, { timeoutMs: 150_000, env: { npm_command: undefined } })
  }
}, 300_000)
afterAll(() => folder?.remove())

/** Without those behind links: each once. */
const filesOf = (tree: string) =>
  readdirSync(tree, { recursive: true, encoding: 'utf8' }).filter(
    (path) => !path.startsWith('node_modules/@shoal/') && lstatSync(join(tree, path)).isFile(),
  )

describe.each(['x64', 'arm64'] as const)('for %s', (cpu) => {
  test('nothing is there that does not run', () => {
    const files = filesOf(treeOf(cpu))
    expect(files.length).toBeGreaterThan(1_000)
    const endings = new Set(files.filter((path) => !LEGAL.test(path)).map((path) => extname(path)))
    for (const ending of ['.ts', '.mts', '.map', '.md', '.c', '.cc', '.gyp'])
      expect(endings).not.toContain(ending)
    expect(files.filter((path) => /^packages\/.*(\.test\.|\/testing\/|tsbuildinfo)/.test(path))).toEqual([])
  })

  test('no package of development is there, and every other one is', () => {
    const lock = JSON.parse(readFileSync(join(REPOSITORY, 'package-lock.json'), 'utf8')).packages
    const names = packagesBelow(treeOf(cpu)).filter((path) => !path.includes('node_modules/@shoal/'))
    expect(names.length).toBeGreaterThan(100)
    expect(names.length).toBeLessThan(PACKAGES_MAX)
    for (const name of names) expect(lock[name], name).toBeDefined()
    expect(names.filter((name) => lock[name].dev)).toEqual([])
    const foreign = names.filter(
      (name) =>
        (lock[name].cpu && !lock[name].cpu.includes(cpu)) ||
        (lock[name].os && !lock[name].os.includes('linux')),
    )
    expect(foreign).toEqual([])
  })

  test('native files are of this processor', () => {
    const native = filesOf(treeOf(cpu)).filter((path) => path.endsWith('.node'))
    // All of them only make something faster; for arm64 none of the packages has one for glibc.
    expect(native.length > 0).toBe(cpu === 'x64')
    for (const path of native) {
      const header = readFileSync(join(treeOf(cpu), path)).subarray(0, 20)
      expect(header.subarray(0, 4).toString('latin1'), path).toBe('\x7fELF')
      expect(header.readUInt16LE(18), path).toBe(MACHINES[cpu])
    }
  })

  test('its files are below the budget', () => {
    const bytes = filesOf(treeOf(cpu)).reduce((sum, path) => sum + lstatSync(join(treeOf(cpu), path)).size, 0)
    expect(bytes).toBeGreaterThan(5e6)
    expect(bytes).toBeLessThan(BYTES_MAX)
  })

  test('only their owner may write to the files', () => {
    const loose = filesOf(treeOf(cpu)).filter(
      (path) => (lstatSync(join(treeOf(cpu), path)).mode & 0o7022) !== 0,
    )
    expect(loose).toEqual([])
  })
})

test('no file that was kept refers to one that was left out', () => {
  const modules = join(treeOf(here), 'node_modules')
  const references = fileReferences(modules, join(REPOSITORY, 'node_modules'))
  expect(references.length).toBeGreaterThan(2_000)
  const lost = references.filter(({ target }) => !existsSync(join(modules, target)))
  expect(lost).toEqual([])
})

test('every entry of a package that Node would load is there', () => {
  const packages = packagesBelow(treeOf(here)).filter((path) => !path.includes('@shoal/'))
  const entries = packageEntries(REPOSITORY, packages)
  expect(entries.length).toBeGreaterThan(150)
  const lost = entries.filter((path) => !existsSync(join(treeOf(here), path)))
  expect(lost).toEqual([])
})

describe('the commands', () => {
  // As a shell would, but with this Node whatever is on PATH.
  const env = { PATH: `${join(REPOSITORY, 'node_modules/.bin')}:${process.env.PATH}`, NODE_PATH: undefined }
  const shoal = () => join(treeOf(here), 'bin/shoal')
  const start = (...args: string[]) => startProcess(shoal(), args, { cwd: folder.path, env })

  test('are the checkout’s, each with its help', async () => {
    const ask = async (words: readonly string[]) => {
      const { stdout } = await runProcess(shoal(), [...words, '--help'], { cwd: folder.path, env })
      expect(stdout).toContain(`Usage: ${['shoal', ...words].join(' ')}`)
    }
    await Promise.all(commandsOf(shoalProgram()).map(ask))
  })

  test('find every library that Shoal’s packages name, also those that are loaded late', async () => {
    const load = async (name: string) => {
      const cwd = join(treeOf(here), 'packages', name)
      const names = librariesOf(join(cwd, 'dist'))
      const script = `await Promise.all(${JSON.stringify(names)}.map((name) => import(name)))`
      await runProcess(process.execPath, ['--input-type=module', '--eval', script], { cwd })
      return names.length
    }
    const counts = await Promise.all(readdirSync(join(treeOf(here), 'packages')).map(load))
    expect(counts.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(40)
  })

  test('carry an image', async () => {
    const ports = await Promise.all(Array.from({ length: 4 }, () => freePort()))
    const [listen, peerListen, agentListen, agentPeers] = ports.map((port) => `127.0.0.1:${port}`)
    const at = (name: string) => join(folder.path, `carried-${name}`)
    await using seeder = start(
      ...['seeder', '--listen', listen!, '--peer-listen', peerListen!],
      ...['--data', at('data'), '--origin', at('origin')],
    )
    await seeder.waitForLine(jsonEvent('ready'), 30_000)
    await using agent = start(
      ...['agent', '--listen', agentListen!, '--peer-listen', agentPeers!],
      ...['--seeder', `http://${listen}`, '--cache', at('cache')],
    )
    await agent.waitForLine(jsonEvent('ready'), 30_000)
    const image = buildImage({
      layers: await randomLayers({ count: 2, contentBytes: 300_000, seed: 'carried' }),
    })
    await pushImage(`http://${listen}`, 'team/app', '1', image)
    await pullImage(`http://${agentListen}`, 'team/app', '1')
    expect(
      (await runProcess(shoal(), ['health'], { env: { ...env, SHOAL_LISTEN: agentListen! } })).stdout,
    ).toContain('ready')
    expect(await agent.stop()).toEqual({ code: 0, signal: null })
    expect(await seeder.stop()).toEqual({ code: 0, signal: null })
  })

  test('say that an engine is not here, and where it is', async () => {
    const words = [
      'agent',
      '--listen',
      '127.0.0.1:0',
      '--peer-listen',
      '127.0.0.1:0',
      '--engine',
      'webtorrent',
    ]
    const agent = start(...words, '--cache', join(folder.path, 'engine-cache'))
    expect((await agent.exited).code).toBe(1)
    const said = agent.lines.join('\n')
    expect(said).toContain('SWARM_ENGINE_NOT_INSTALLED')
    expect(said).toContain('shoal agent: the webtorrent engine is not installed here')
    expect(said).toContain('npm ci')
  })

  test('reach for a bucket with the AWS library, and fail at the network alone', async () => {
    const port = await freePort()
    const origin = `s3://images?endpoint=http://127.0.0.1:${port}&region=us-east-1&forcePathStyle=true`
    const run = startProcess(
      shoal(),
      [
        ...['seeder', '--listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0'],
        ...['--data', join(folder.path, 's3-data'), '--origin', origin],
      ],
      { cwd: folder.path, env: { ...env, AWS_ACCESS_KEY_ID: 'x', AWS_SECRET_ACCESS_KEY: 'y' } },
    )
    expect((await run.exited).code).toBe(1)
    expect(run.lines.join('\n')).toContain('ECONNREFUSED')
  })

  test('simulate', async () => {
    const words = ['fanout', 'sim', '--nodes', '8', '--image-size', '1MB', '--json']
    const { stdout } = await runProcess(shoal(), words, { cwd: folder.path, env })
    expect(JSON.parse(stdout)).toMatchObject({ nodes: 8 })
    const { stdout: scenarios } = await runProcess(shoal(), ['fanout', 'sim', '--list'], { env })
    expect(scenarios).toContain('three-zones')
  })
})

function commandsOf(command: Command): string[][] {
  return command.commands.flatMap((one) => [
    [one.name()],
    ...commandsOf(one).map((words) => [one.name(), ...words]),
  ])
}

function librariesOf(dist: string): string[] {
  const names = filesOf(realpathSync(dist)).flatMap((path) => {
    const text = readFileSync(join(dist, path), 'utf8')
    return [...text.matchAll(/(?:\bfrom\s*|\bimport\(|\bimport\s+)\s*['"]([a-z@][^'"\n]*)['"]/g)].map(
      ([, name]) => name!,
    )
  })
  return [...new Set(names.filter((name) => !name.startsWith('node:') && !name.includes(' ')))]
}
