/**
 * One run of the simulator again, step by step: what each node's engine was told and what it answered, a line of JSON a step.
 * Whatever `shoal fanout sim` printed of a run that broke a promise repeats it here; the last line is the step that broke it.
 *
 *   npm run replay -- --nodes 12 --image-size 3MiB --die 20% --seed 5 --node node-3
 */
import { Bitfield } from '@shoal/core'
import { readScenario, SCENARIO_OPTIONS, scenarioOf } from '@shoal/fanout'
import { replayShoal } from '@shoal/simulator'
import { Command } from 'commander'

const command = new Command('replay')
  .description('One run of the simulator again, step by step, a line of JSON a step.')
  .option('--node <NAME>', 'of one node only: node-0, node-1, … or seeder')
  .option('--scenario <NAME|FILE>', 'as for `shoal fanout sim`; flags win over it')
for (const { name, argument, doc } of SCENARIO_OPTIONS)
  command.option(`--${name}${argument === undefined ? '' : ` ${argument}`}`, doc)
const { node: only, scenario: file, ...flags } = command.parse().opts<Record<string, string | true>>()

const given = SCENARIO_OPTIONS.flatMap(({ name }) => {
  const value = flags[name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())]
  return value === undefined ? [] : [{ name, text: String(value), from: `--${name}` }]
})
const scenario = scenarioOf([...(file === undefined ? [] : await readScenario(String(file))), ...given])

const { unfinished } = replayShoal(scenario, (step) => {
  if (only === undefined || step.node === only) process.stdout.write(`${JSON.stringify(step, readable)}\n`)
})
process.stderr.write(`${unfinished} nodes have not finished\n`)

/** Bytes as hexadecimal digits, pieces that are here as their number. */
function readable(_name: string, value: unknown): unknown {
  if (value instanceof Bitfield) return `${value.setCount} of ${value.length}`
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value
}
