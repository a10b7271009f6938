/** `shoal fanout sim`: thousands of nodes on virtual time, by the code that agents run. */

import { UsageError } from '@shoal/core'
import {
  FanoutOptionError,
  type GivenOption,
  listScenarios,
  readScenario,
  SCENARIO_OPTIONS,
  scenarioOf,
} from '@shoal/fanout'
import { STRATEGIES, type StrategyName } from '@shoal/simulator'
import { Command, InvalidArgumentError, Option } from 'commander'
import { interruptions, statusOf } from './interruptions.ts'

interface Flags {
  readonly scenario?: string
  readonly strategies: readonly StrategyName[]
  readonly json?: boolean
  readonly svg?: string
  readonly list?: boolean
}

export function fanoutSimCommand(): Command {
  const command = new Command('sim')
    .description('Simulates a fan-out with the very rules that agents and tracker run.')
    .option(
      '--scenario <NAME|FILE>',
      'one of those that come along (see --list), or a file; flags win over it',
    )
    .option('--list', 'print the scenarios that come along')
  for (const { name, argument, doc } of SCENARIO_OPTIONS)
    command.addOption(new Option(`--${name}${argument === undefined ? '' : ` ${argument}`}`, doc))
  return command
    .addOption(
      new Option('--strategies <NAMES>', `some of ${STRATEGIES.join(',')}`)
        .argParser(strategies)
        .default(['shoal'], 'shoal'),
    )
    .option('--svg <FOLDER>', 'write pictures there')
    .option('--json', 'print nothing but the result as JSON')
    .action(run)
}

async function run(flags: Flags & Readonly<Record<string, unknown>>): Promise<void> {
  if (flags.list) {
    for (const { name, description } of await listScenarios()) console.log(`${name.padEnd(20)}${description}`)
    return
  }
  const interruption = interruptions()
  try {
    const given = flagsGiven(flags)
    const file = flags.scenario === undefined ? [] : await readScenario(flags.scenario)
    const scenario = scenarioOf([...file, ...given])
    const { runSimulation } = await import('@shoal/fanout/simulated')
    const title = flags.scenario ?? `${scenario.nodes} nodes`
    const words = given.map(({ name, text }) => (text === 'true' ? `--${name}` : `--${name} ${text}`))
    const repeat = [
      'shoal fanout sim',
      ...(flags.scenario === undefined ? [] : [`--scenario ${flags.scenario}`]),
      ...words,
      ...(words.some((word) => word.startsWith('--seed')) ? [] : [`--seed ${scenario.seed}`]),
      `--strategies ${flags.strategies.join(',')}`,
    ].join(' ')
    await runSimulation(
      { title, scenario, strategies: flags.strategies, json: flags.json ?? false, svg: flags.svg, repeat },
      interruption.signal,
    )
  } catch (error) {
    const interruptedBy = interruption.name()
    if (interruptedBy !== undefined) {
      process.exitCode = statusOf(interruptedBy)
      return
    }
    console.error(`error: ${(error as Error).message}`)
    process.exitCode = error instanceof FanoutOptionError || error instanceof UsageError ? 2 : 1
  }
}

/** What was typed, in the words of a scenario file. */
function flagsGiven(flags: Readonly<Record<string, unknown>>): GivenOption[] {
  return SCENARIO_OPTIONS.flatMap(({ name }) => {
    const value = flags[name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())]
    return value === undefined ? [] : [{ name, text: String(value), from: `--${name}` }]
  })
}

function strategies(text: string): StrategyName[] {
  const names = text.split(',')
  const areKnown = names.every((name): name is StrategyName => STRATEGIES.some((known) => known === name))
  if (areKnown && new Set(names).size === names.length) return names
  throw new InvalidArgumentError(`Some of ${STRATEGIES.join(',')} are allowed, with commas, each once.`)
}
