/**
 * Runs a command of Shoal's under V8's sampling profiler: where its processor time went, or who holds its memory.
 *
 *     npm run profile -- [--heap] [--seconds N] [--out FOLDER] agent --seeder http://127.0.0.1:7000 …
 *
 * Ctrl-C, or the end of the seconds, ends the service as ever. Then a table says which functions cost most, themselves and
 * with all that they called, and the folder has a flame graph and the profile itself: Chrome's DevTools (Performance, Memory)
 * and speedscope read that. It is the main thread's; the threads that hash do nothing else.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { countArgument, printTable, say } from './command-line.ts'
import { type Frame, roomOf, rowsOf, totalOf, treeOfCpu, treeOfHeap } from './profile/call-tree.ts'
import { flameGraph } from './profile/flame-graph.ts'
import { sourcePlaces } from './profile/source-places.ts'

interface Options {
  readonly heap?: true
  readonly seconds?: number
  readonly out: string
}

const COMMAND = fileURLToPath(new URL('../../packages/cli/bin/shoal.js', import.meta.url))
/** One allocation in so many bytes is looked at; V8's own half a megabyte hides all but the largest. */
const HEAP_INTERVAL_BYTES = 32 * 1024
const ROWS_SHOWN = 25
const ROOMS_SHOWN = 12

const program = new Command('profile')
  .description('Where the processor time or the memory of a command of Shoal goes.')
  .argument('<command...>', 'what comes after `shoal`')
  .option('--heap', 'who has allocated what is in memory at the end, in place of processor time')
  .option('--seconds <count>', 'end it after so long; otherwise Ctrl-C does', countArgument)
  .option('--out <folder>', 'where profiles and pictures go', 'profiles')
  .passThroughOptions()
  .parse()
const options = program.opts<Options>()
const folder = resolve(options.out, new Date().toISOString().replaceAll(':', '-').slice(0, 19))
mkdirSync(folder, { recursive: true })
const status = await run(program.args)
report()
process.exitCode = status

/** @returns its exit status; 1 when a signal ended it */
async function run(words: readonly string[]): Promise<number> {
  const kind = options.heap ? 'heap' : 'cpu'
  // As whoever types `shoal` runs it.
  const [, flags = ''] = /^#!.* node (.*)/.exec(readFileSync(COMMAND, 'utf8'))!
  const profiled = [...flags.split(' '), `--${kind}-prof`, `--${kind}-prof-dir=${folder}`]
  if (options.heap) profiled.push(`--heap-prof-interval=${HEAP_INTERVAL_BYTES}`)
  const child = spawn(process.execPath, [...profiled, COMMAND, ...words], { stdio: 'inherit' })
  const end = () => child.kill('SIGTERM')
  // The terminal sends Ctrl-C to both.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', end)
  const timer = options.seconds === undefined ? undefined : setTimeout(end, options.seconds * 1000)
  const [code] = await once(child, 'exit')
  clearTimeout(timer)
  return code ?? 1
}

function report(): void {
  const locate = sourcePlaces()
  const trees = readdirSync(folder)
    .filter((name) => /\.(cpu|heap)profile$/.test(name))
    .map((name) => {
      const read = JSON.parse(readFileSync(join(folder, name), 'utf8'))
      return { name, tree: options.heap ? treeOfHeap(read, locate) : treeOfCpu(read, locate) }
    })
    .toSorted((a, b) => totalOf(b.tree) - totalOf(a.tree))
  if (trees.length === 0) {
    say('no profile was written: the command was killed, or ended before it began')
    return
  }
  for (const { name, tree } of trees) {
    const picture = join(folder, `${name}.svg`)
    writeFileSync(picture, flameGraph(tree, amount))
    console.log(`\n${name}: ${amount(totalOf(tree))}`)
    console.log(`${picture}\n`)
    print(tree)
  }
}

function print(tree: Frame): void {
  const whole = totalOf(tree)
  const percent = (value: number) => `${((100 * value) / whole).toFixed(1)} %`
  const rows = rowsOf(tree)
  printTable([
    ['function', 'itself', 'share', 'with what it called'],
    ...rows
      .slice(0, ROWS_SHOWN)
      .map(({ name, where, self, total }) => [
        `${name} ${where}`,
        amount(self),
        percent(self),
        percent(total),
      ]),
  ])
  const rooms = new Map<string, number>()
  for (const { where, self } of rows) rooms.set(roomOf(where), (rooms.get(roomOf(where)) ?? 0) + self)
  const largest = [...rooms].toSorted(([, a], [, b]) => b - a).slice(0, ROOMS_SHOWN)
  console.log()
  printTable([
    ['of', 'itself', 'share'],
    ...largest.map(([room, self]) => [room, amount(self), percent(self)]),
  ])
}

function amount(value: number): string {
  return options.heap ? `${(value / 1000).toFixed(0)} kB` : `${value.toFixed(0)} ms`
}
