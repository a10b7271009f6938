/**
 * The storm for as long as one likes: `npm run storm -- --minutes 20 --seed 7`. Ends with status 1 where a service ended, a client was
 * given something wrong or nothing, or memory stayed; the report is JSON on stdout.
 */
import { Command } from 'commander'
import { printJson, say } from '../../bench/command-line.ts'
import { runStorm } from './storm.ts'
import { faultsOf } from './verdict.ts'

const CALM_MS = 20_000

const options = new Command('storm')
  .description('Strangers attack every port of a small cluster while clients push and pull.')
  .option('--minutes <minutes>', 'how long', Number, 1)
  .option('--seed <number>', 'what is random follows from it', Number, 1)
  .option('--go-on', 'start what ended again and look for more')
  .parse()
  .opts<{ minutes: number; seed: number; goOn?: true }>()

const report = await runStorm({
  seed: options.seed,
  calmMs: CALM_MS,
  durationMs: options.minutes * 60_000,
  actionsMax: Number.POSITIVE_INFINITY,
  goOn: options.goOn ?? false,
  say,
})
printJson(report)
const faults = faultsOf(report)
for (const fault of faults) say(fault)
say(`seed ${report.seed}: ${faults.length} faults`)
process.exit(faults.length === 0 ? 0 : 1)
