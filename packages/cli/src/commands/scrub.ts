/** `shoal scrub`: has a seeder read every blob of its origin and compare it with its digest. */

import { UsageError } from '@shoal/core'
import { Command } from 'commander'
import type { SeederFlags } from '../control-client/control-target.ts'
import { interruptions, statusOf } from './interruptions.ts'
import { addSeederOptions } from './seeder-options.ts'

export function scrubCommand(): Command {
  const command = new Command('scrub').description(
    'Has the seeder read every blob of its origin, and tells which are not what was pushed.',
  )
  return addSeederOptions(command)
    .option('--json', 'print every damaged blob and the end as a line of JSON')
    .action(run)
}

async function run({ json = false, ...flags }: SeederFlags & { readonly json?: boolean }): Promise<void> {
  const interruption = interruptions()
  const { followScrub, SILENT_MS_MAX } = await import('../control-client/control-client.ts')
  const { controlTargetOf } = await import('../control-client/control-target.ts')
  const { scrubEndText, scrubLineText } = await import('../garbage/scrub-report.ts')
  try {
    const { signal } = interruption
    const target = await controlTargetOf(flags, { signal, silentMsMax: SILENT_MS_MAX })
    const end = await followScrub(target, (line) => {
      if (line.type === 'damaged') console.log(json ? JSON.stringify(line) : scrubLineText(line))
    }).finally(() => target.client.close())
    console.log(json ? JSON.stringify(end) : scrubEndText(end))
    process.exitCode = end.damagedBlobs === 0 ? 0 : 1
  } catch (error) {
    const interruptedBy = interruption.name()
    if (interruptedBy === undefined) console.error(`error: ${(error as Error).message}`)
    else console.error(`${interruptedBy}: the scrub ends; what it has found is noted`)
    const failed = error instanceof UsageError ? 2 : 1
    process.exitCode = interruptedBy === undefined ? failed : statusOf(interruptedBy)
  }
}
