/**
 * Goal: `shoal fanout live` measures real agents and leaves nothing behind, however it ends.
 * Method: small images on fast links in each form of isolation; then bad input, a signal in the middle, an agent that is killed.
 * What was left is looked for by the temporary folder that each run is given, and by network namespaces that were not there
 * before. Times decide nothing here.
 */
import { existsSync } from 'node:fs'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { describeWith } from '../support/describe-with.ts'
import { ProcessEndedError, type RunningProcess, runProcess, startProcess } from '../support/process.ts'
import { BIN, SHOAL_NODE_FLAGS } from '../support/shoal.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const LAYERS = '2MB,900kB,100kB'
const IMAGE_BYTES = 3_000_000

interface Report {
  readonly nodes: number
  readonly imageBytes: number
  readonly boundSeconds: number
  readonly seed: number
  readonly results: readonly {
    readonly strategy: string
    readonly last: number | null
    readonly unfinished: number
    readonly originBytes: number
    readonly originRequests: number
    readonly seederSentBytes: number
  }[]
}

const command = (...args: string[]) => [...SHOAL_NODE_FLAGS, BIN, 'fanout', 'live', ...args]
const small = (isolation: string, ...more: string[]) =>
  command('--nodes', '5', '--image-size', LAYERS, '--link', '200Mbps', '--isolation', isolation, ...more)

function measures(isolation: string): void {
  it('measures everybody, reads the origin once and leaves nothing behind', async () => {
    await using folder = await temporaryFolder('fanout-live')
    const before = await networkNamespaces()
    const { stdout, stderr } = await runProcess(process.execPath, small(isolation, '--seed', '7', '--json'), {
      env: { TMPDIR: folder.path },
      timeoutMs: 110_000,
    })
    const lines = stdout.trimEnd().split('\n')
    expect(lines).toHaveLength(1)
    const report = JSON.parse(lines[0]!) as Report
    expect(report).toMatchObject({ nodes: 5, seed: 7 })
    // A configuration comes along with the layers.
    expect(report.imageBytes).toBeGreaterThan(IMAGE_BYTES)
    expect(report.imageBytes).toBeLessThan(IMAGE_BYTES + 2_000)
    expect(report.boundSeconds).toBeCloseTo(report.imageBytes / 25e6, 6)
    const [result] = report.results
    expect(result).toMatchObject({ strategy: 'shoal', unfinished: 0, last: expect.any(Number) })
    expect(result!.seederSentBytes).toBeGreaterThanOrEqual(IMAGE_BYTES)
    expect(result!.originRequests).toBeGreaterThan(0)
    // Where the origin could not be put on a file system of its own, the seeder links its files and reads none of them.
    if (!stderr.includes('beside the seeder')) {
      expect(result!.originBytes).toBeGreaterThanOrEqual(IMAGE_BYTES)
      expect(result!.originBytes).toBeLessThanOrEqual(1.05 * report.imageBytes)
    }
    await expectNothingLeft(folder.path, before)
  })
}

function endsInOrder(isolation: string): void {
  it('ends in order when it is interrupted', async () => {
    await using folder = await temporaryFolder('fanout-live')
    const before = await networkNamespaces()
    // Slow enough to be still busy.
    const args = command('--nodes', '5', '--image-size', '3MB', '--link', '200kbps', '--isolation', isolation)
    await using running = startProcess(process.execPath, args, { env: { TMPDIR: folder.path } })
    await running.waitForLine((line) => line.includes('pull at the same moment'), 60_000)
    expect((await processesNaming(folder.path)).length).toBeGreaterThan(0)
    running.signal('SIGINT')
    expect(await running.exited).toEqual({ code: 130, signal: null })
    expect(running.lines.join('\n')).toContain('interrupted by SIGINT')
    await expectNothingLeft(folder.path, before)
  })
}

function saysWhoEnded(isolation: string): void {
  it('says which child ended when one is killed, and ends the others', async () => {
    await using folder = await temporaryFolder('fanout-live')
    const before = await networkNamespaces()
    const args = command('--nodes', '5', '--image-size', '3MB', '--link', '200kbps', '--isolation', isolation)
    await using running = startProcess(process.execPath, args, { env: { TMPDIR: folder.path } })
    await running.waitForLine((line) => line.includes('pull at the same moment'), 60_000)
    process.kill(await victimOf(running), 'SIGKILL')
    expect(await running.exited).toEqual({ code: 1, signal: null })
    expect(running.lines.join('\n')).toMatch(/(node-\d|agents-\d|seeder) ended by SIGKILL/)
    await expectNothingLeft(folder.path, before)
  })
}

// How it ends is the same code for all; namespaces have the most to leave behind, shared processes are ended by another road.
describe('fanout live, a process per agent', () => measures('process'))
describe('fanout live, many agents in a process', () => {
  measures('shared')
  saysWhoEnded('shared')
})
describeWith(['network-namespaces'], 'fanout live, a network namespace per agent', () => {
  measures('netns')
  endsInOrder('netns')
  saysWhoEnded('netns')
})

describe('fanout live', () => {
  it('tells a person what it found before the line for programs', async () => {
    const { stdout } = await runProcess(process.execPath, small('process'), { timeoutMs: 110_000 })
    const lines = stdout.trimEnd().split('\n')
    expect(lines[0]).toContain('5 nodes (process) pulled 3.0 MB at 200 Mbps')
    expect(JSON.parse(lines.at(-1)!)).toHaveProperty('results')
  })

  it('counts who is not done in time as unfinished, and fails', async () => {
    await using folder = await temporaryFolder('fanout-live')
    const args = command('--nodes', '2', '--image-size', '3MB', '--link', '200kbps', '--timeout', '500ms')
    const running = startProcess(process.execPath, [...args, '--json'], { env: { TMPDIR: folder.path } })
    expect(await running.exited).toEqual({ code: 1, signal: null })
    const report = JSON.parse(running.lines.findLast((line) => line.startsWith('{'))!) as Report
    expect(report.results[0]).toMatchObject({ unfinished: 2, last: null })
  })

  it('is status 2 when it is told what it cannot do', async () => {
    const failure = await runProcess(process.execPath, command('--nodes', '0'), { timeoutMs: 20_000 }).catch(
      (error: unknown) => error,
    )
    expect(failure).toBeInstanceOf(ProcessEndedError)
    expect((failure as ProcessEndedError).exit.code).toBe(2)
  })
})

async function expectNothingLeft(folder: string, namespacesBefore: ReadonlySet<string>): Promise<void> {
  expect(await readdir(folder)).toEqual([])
  expect(await processesNaming(folder)).toEqual([])
  const names = existsSync('/run/netns') ? await readdir('/run/netns') : []
  expect(names.filter((name) => /^(node-\d+|seeder)$/.test(name))).toEqual([])
  // The kernel takes a namespace down a moment after its last process has ended.
  await expect
    .poll(async () => [...(await networkNamespaces())].filter((id) => !namespacesBefore.has(id)))
    .toEqual([])
}

/** Processes whose environment or arguments have this folder; every child of a run has. */
async function processesNaming(folder: string): Promise<number[]> {
  const found: number[] = []
  for (const pid of await processIds()) {
    if (pid === process.pid) continue
    const texts = await Promise.all(
      ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')),
    )
    if (texts.some((text) => text.includes(folder))) found.push(pid)
  }
  return found
}

/** Of all processes that this one may look at. */
async function networkNamespaces(): Promise<ReadonlySet<string>> {
  const links = (await processIds()).map((pid) => readlink(`/proc/${pid}/ns/net`).catch(() => undefined))
  return new Set((await Promise.all(links)).filter((id) => id !== undefined))
}

async function processIds(): Promise<number[]> {
  if (!existsSync('/proc')) return []
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
}

/** A child of it that is a service or has some. */
async function victimOf(running: RunningProcess): Promise<number> {
  const children = await readFile(`/proc/${running.pid}/task/${running.pid}/children`, 'utf8')
  for (const pid of children.trim().split(' ').map(Number)) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8')
    if (/\0agent\0|shared-agents\.js/.test(commandLine)) return pid
  }
  throw new Error('it has no agents')
}
