/**
 * Goal: `shoal seeder` and `shoal agent` are good processes: a ready line with real addresses, status 0 on SIGTERM, 2 on
 * wrong settings, 1 when they cannot start.
 * Method: the built command, as a shell would run it. Needs `tsc -b`, which `npm test` runs first.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'

const BIN = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url))
const children = new Set<ChildProcess>()
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shoal-service-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
})

interface Run {
  readonly child: ChildProcess
  readonly text: { out: string; err: string }
  readonly ended: Promise<number | null>
  readonly ready: Promise<{ listen: string; peerListen: string }>
}

function shoal(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const { PATH, NODE_COMPILE_CACHE } = process.env
  const child = spawn(process.execPath, [BIN, ...args], {
    cwd: folder,
    env: { PATH, NODE_COMPILE_CACHE, SHOAL_UNCAUGHT_ERRORS: 'fatal', ...env },
  })
  children.add(child)
  const text = { out: '', err: '' }
  child.stderr.on('data', (chunk) => {
    text.err += chunk
  })
  const ready = new Promise<{ listen: string; peerListen: string }>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      text.out += `${line}\n`
      const entry = JSON.parse(line)
      if (entry.event === 'ready') resolve(entry)
    })
  })
  return { child, text, ready, ended: once(child, 'close').then(([code]) => code) }
}

const ports = ['--listen', '127.0.0.1:0', '--peer-listen', '127.0.0.1:0']

test('a seeder and an agent get ready on ports that the system chose, and end with 0', async () => {
  const seeder = shoal(['seeder', ...ports, '--origin', 'origin', '--data', 'data', '--log-level', 'silent'])
  const { listen } = await seeder.ready
  expect(listen).toMatch(/^127\.0\.0\.1:[1-9]\d+$/)
  const agent = shoal(['agent', ...ports, '--seeder', `http://${listen}`], { SHOAL_CACHE: 'cache' })
  const addresses = await agent.ready
  expect(addresses.peerListen).toMatch(/^127\.0\.0\.1:[1-9]\d+$/)
  expect((await fetch(`http://${addresses.listen}/readyz`)).status).toBe(200)

  agent.child.kill('SIGTERM')
  seeder.child.kill('SIGINT')
  expect(await Promise.all([agent.ended, seeder.ended])).toEqual([0, 0])
  expect(seeder.text.out.match(/"event":"ready"/g)).toHaveLength(1)
  // Silent, but for the line that others wait for.
  expect(seeder.text.out.trim().split('\n')).toHaveLength(1)
})

test('wrong settings: status 2, and every problem by name', async () => {
  const { ended, text } = shoal(['agent', '--listen', 'here'], { SHOAL_TAG_TTL_MS: '-1' })
  expect(await ended).toBe(2)
  expect(text.err).toContain('listen (--listen): "here" was given; allowed: host:port')
  expect(text.err).toContain('tagTtlMs (SHOAL_TAG_TTL_MS): "-1" was given')
  expect(text.out).toBe('')
})

test('a configuration file that is not there: status 2', async () => {
  const { ended, text } = shoal(['seeder', '--config', 'nowhere.yaml'])
  expect(await ended).toBe(2)
  expect(text.err).toContain('nowhere.yaml cannot be used: it cannot be read')
})

test('an address that is taken: status 1, one fatal line, and the same in plain words', async () => {
  const first = shoal(['seeder', ...ports, '--origin', 'origin-1', '--data', 'data-1'])
  const { listen } = await first.ready
  const second = shoal([
    'seeder',
    '--listen',
    listen,
    '--peer-listen',
    '127.0.0.1:0',
    '--origin',
    'origin-2',
    '--data',
    'data-2',
  ])
  expect(await second.ended).toBe(1)
  expect(second.text.err).toMatch(/^shoal seeder: .*EADDRINUSE/)
  expect(second.text.out).toContain('"event":"start-failed"')
  first.child.kill('SIGTERM')
  expect(await first.ended).toBe(0)
})

test('--help names every flag, its default and its variable; --version is the version', async () => {
  const run = (args: readonly string[]) =>
    new Promise<string>((resolve) => {
      let text = ''
      const child = spawn(process.execPath, [BIN, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
      child.stdout.on('data', (chunk) => {
        text += chunk
      })
      child.on('close', (code) => resolve(`${text}${code}`))
    })
  const help = (await run(['agent', '--help'])).replace(/\s+/g, ' ')
  expect(help).toContain('--peer-listen <HOST:PORT> Address where other agents connect')
  expect(help).toContain('(default: 127.0.0.1:6001) [SHOAL_PEER_LISTEN]')
  expect(help).toContain('(default: 64GiB) [SHOAL_CACHE_MAX_BYTES]')
  expect(help).toMatch(/0$/)
  expect(await run(['--version'])).toMatch(/^\d+\.\d+\.\d+\n0$/)
})
