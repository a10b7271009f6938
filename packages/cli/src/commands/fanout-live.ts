/** `shoal fanout live`: real agents, a real seeder, one image, everybody at once. */
import { LiveInterruptedError, reportOf } from '@shoal/fanout'
import { Command } from 'commander'
import { interruptions, statusOf } from './interruptions.ts'
import { addLiveOptions, type LiveFlags, liveOptionsOf } from './live-options.ts'

export function fanoutLiveCommand(): Command {
  const command = new Command('live').description(
    'Starts a seeder and agents here, all of which pull one image at once, and measures it.',
  )
  return addLiveOptions(command, {
    nodes: '50',
    imageSize: '40MB',
    link: '20Mbps',
    isolation: 'process',
  }).action(run)
}

async function run(flags: LiveFlags): Promise<void> {
  const options = liveOptionsOf(flags)
  const interruption = interruptions((signalName) => new LiveInterruptedError(signalName))
  const { runLiveFanout, summaryText } = await import('@shoal/fanout/live')
  const measured = await runLiveFanout(options, process.stderr, interruption.signal)
  if (measured !== undefined) {
    if (!flags.json) console.log(summaryText(measured, options))
    console.log(JSON.stringify(reportOf(measured)))
  }
  const interruptedBy = interruption.name()
  const isGood = measured?.runs.every(({ unfinished }) => unfinished === 0) ?? false
  process.exitCode = interruptedBy === undefined ? (isGood ? 0 : 1) : statusOf(interruptedBy)
}
