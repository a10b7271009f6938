/** `shoal fanout validate`: the same fan-out simulated and live, side by side. */
import { type FanoutRun, LiveInterruptedError, reportOf, tableOf } from '@shoal/fanout'
import { DIFFERENCE_MAX, differencesOf } from '@shoal/fanout/live'
import { Command } from 'commander'
import { interruptions, statusOf } from './interruptions.ts'
import { addLiveOptions, type LiveFlags, liveOptionsOf } from './live-options.ts'

export function fanoutValidateCommand(): Command {
  const command = new Command('validate').description(
    `Runs one fan-out simulated and live; fails when p50 or last differ by more than ${percent(DIFFERENCE_MAX)}.`,
  )
  return addLiveOptions(command, {
    nodes: '10',
    imageSize: '10MB',
    link: '10Mbps',
    isolation: 'netns',
  }).action(run)
}

async function run(flags: LiveFlags): Promise<void> {
  const interruption = interruptions((signalName) => new LiveInterruptedError(signalName))
  const { runBoth } = await import('@shoal/fanout/live')
  const both = await runBoth(liveOptionsOf(flags), process.stderr, interruption.signal)
  const interruptedBy = interruption.name()
  if (interruptedBy !== undefined) process.exitCode = statusOf(interruptedBy)
  else process.exitCode = both !== undefined && show(both, flags.json ?? false) ? 0 : 1
}

/** @returns whether they are as close as they should be */
function show(both: FanoutRun, isJson: boolean): boolean {
  const differences = differencesOf(both)
  if (!isJson) {
    console.log(tableOf(both))
    for (const { of, difference } of differences)
      console.log(`${of}: live takes ${percent(Math.abs(difference))} ${difference < 0 ? 'less' : 'more'}`)
  }
  console.log(JSON.stringify(reportOf(both)))
  return differences.every(({ difference }) => Math.abs(difference) <= DIFFERENCE_MAX)
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}
