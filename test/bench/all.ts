/**
 * Runs every benchmark of the project and writes what they say to docs/performance.json and into docs/performance.md.
 * Each is a process of its own, so that none measures what another left in memory.
 */
import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { cpus, totalmem, type } from 'node:os'
import { fileURLToPath } from 'node:url'
import { ENGINE_NAMES, type EngineName } from '@shoal/swarm'
import { Command } from 'commander'
import { nameArgument, namesArgument, say } from './command-line.ts'
import { figuresOf, isMet, type Machine, type Results, replaceFigures, reportText } from './report.ts'

const STEP_NAMES = ['transfer', 'service', 'memory', 'fanOut', 'units'] as const
type StepName = (typeof STEP_NAMES)[number]

interface Options {
  readonly quick?: true
  readonly engine: EngineName
  readonly only: readonly StepName[]
}

const options = new Command('bench')
  .description('Every benchmark; writes docs/performance.json and the tables of docs/performance.md.')
  .option('--quick', 'small sizes and few runs, for a look: prints, and writes nothing')
  .option('--engine <name>', `of the services, one of ${ENGINE_NAMES}`, nameArgument(ENGINE_NAMES), 'native')
  .option(
    '--only <names>',
    `some of ${STEP_NAMES}; of the others, the last results stay`,
    namesArgument(STEP_NAMES),
    [...STEP_NAMES],
  )
  .parse()
  .opts<Options>()

const jsonPath = fileURLToPath(new URL('../../docs/performance.json', import.meta.url))
const pagePath = fileURLToPath(new URL('../../docs/performance.md', import.meta.url))
const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))

const { quick } = options
const services = ['--engine', options.engine]
const steps: Record<Exclude<StepName, 'units'>, readonly string[]> = {
  transfer: ['transfer.ts', ...(quick ? ['--bytes', '256MiB', '--runs', '3'] : [])],
  service: ['service.ts', ...services, ...(quick ? ['--bytes', '256MiB', '--runs', '3'] : [])],
  memory: ['memory.ts', ...services, ...(quick ? ['--blobs', '200'] : [])],
  fanOut: ['fan-out.ts', ...(quick ? ['--bytes', '32MiB', '--runs', '1'] : [])],
}

let results: Results = quick ? {} : await lastResults()
for (const name of options.only) {
  say(`\n==> ${name}`)
  // What vitest measures beside the code is for whoever changes that code: it is shown, and is no figure.
  if (name === 'units') await run([vitest, 'bench', '--run'], 'shown')
  else {
    results = { ...results, [name]: JSON.parse(await run(words(steps[name]), 'kept')) }
    if (!quick) await keep(results)
  }
}

const text = reportText(machine(), results)
console.log(text)
const missed = figuresOf(results).filter((figure) => isMet(figure) === false)
for (const { measure } of missed) say(`missed: ${measure}`)

/** After every step: one that fails loses nothing of the others. */
async function keep(found: Results): Promise<void> {
  await writeFile(jsonPath, `${JSON.stringify({ machine: machine(), results: found }, undefined, 2)}\n`)
  await writeFile(pagePath, replaceFigures(await readFile(pagePath, 'utf8'), reportText(machine(), found)))
}

function words([script, ...args]: readonly string[]): string[] {
  return [fileURLToPath(new URL(script!, import.meta.url)), ...args, '--json']
}

/** @returns its last line */
async function run(args: readonly string[], output: 'kept' | 'shown'): Promise<string> {
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', output === 'kept' ? 'pipe' : 'inherit', 'inherit'],
  })
  const end = () => {
    child.kill('SIGTERM')
    process.exit(1)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end)
  const status = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
  let stdout = ''
  for await (const chunk of child.stdout ?? []) stdout += chunk
  const code = await status
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, end)
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`)
  return stdout.trim().split('\n').at(-1) ?? ''
}

async function lastResults(): Promise<Results> {
  try {
    return (JSON.parse(await readFile(jsonPath, 'utf8')) as { results: Results }).results
  } catch {
    // There are none yet.
    return {}
  }
}

function machine(): Machine {
  return {
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 1e9),
    node: process.version,
    platform: `${type()} ${process.arch}`,
  }
}
