/** `shoal gc`: has a seeder remove from its origin what no image needs any more. */

import { UsageError } from '@shoal/core'
import { parseDuration } from '@shoal/fanout'
import { Command, InvalidArgumentError } from 'commander'
import type { SeederFlags } from '../control-client/control-target.ts'
import { interruptions, statusOf } from './interruptions.ts'
import { addSeederOptions } from './seeder-options.ts'

interface Flags extends SeederFlags {
  readonly dryRun?: boolean
  readonly untagged?: boolean
  readonly olderThan: number
  readonly json?: boolean
}

/** Long enough for a deployment that pulls by digest to be noticed, and for its tag to be put back. */
const UNTAGGED_FOR_MS = 7 * 24 * 60 * 60 * 1000

export function gcCommand(): Command {
  const command = new Command('gc').description(
    'Has the seeder remove from its origin what no image needs any more.',
  )
  return addSeederOptions(command)
    .option('--dry-run', 'remove nothing, tell what would be removed')
    .option('--untagged', 'also remove manifests that no tag reaches, and what is attached to them')
    .option(
      '--older-than <DURATION>',
      'with --untagged: only those that nobody has pushed for so long (36h, 7d)',
      duration,
      UNTAGGED_FOR_MS,
    )
    .option('--json', 'print the report as JSON, as the last line of standard output')
    .action(run)
}

async function run({
  dryRun = false,
  untagged = false,
  olderThan,
  json = false,
  ...flags
}: Flags): Promise<void> {
  const interruption = interruptions()
  const { collectGarbage, GARBAGE_SILENT_MS_MAX } = await import('../control-client/control-client.ts')
  const { garbageText } = await import('../garbage/report.ts')
  const { controlTargetOf } = await import('../control-client/control-target.ts')
  try {
    const { signal } = interruption
    const target = await controlTargetOf(flags, { signal, silentMsMax: GARBAGE_SILENT_MS_MAX })
    const wanted = { isDryRun: dryRun, ...(untagged ? { untaggedForMs: olderThan } : {}) }
    const report = await collectGarbage(target, wanted).finally(() => target.client.close())
    console.log(json ? JSON.stringify(report) : garbageText(report))
  } catch (error) {
    const interruptedBy = interruption.name()
    if (interruptedBy === undefined) console.error(`error: ${(error as Error).message}`)
    else console.error(`${interruptedBy}: no longer waited for; a garbage collection that began goes on`)
    const failed = error instanceof UsageError ? 2 : 1
    process.exitCode = interruptedBy === undefined ? failed : statusOf(interruptedBy)
  }
}

function duration(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined) throw new InvalidArgumentError('a number with ms, s, m, h or d is expected, as in 7d')
  return Math.round(ms)
}
