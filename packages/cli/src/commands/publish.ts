/** `shoal publish`: has a seeder copy images from their registries, and nodes fetch them before they are asked. */

import { UsageError } from '@shoal/core'
import { type Platform, platformText, ReferenceInvalidError } from '@shoal/oci'
import { PUBLISH_REFERENCES_MAX, type PublishRequest } from '@shoal/wire'
import { Command, InvalidArgumentError } from 'commander'
import type { SeederFlags } from '../control-client/control-target.ts'
import { parsePublished, parseSource, withDigest } from '../publish/image-names.ts'
import type { PublishReport } from '../publish/publish.ts'
import { interruptions, statusOf } from './interruptions.ts'
import { platformOption } from './platform-option.ts'
import { addSeederOptions } from './seeder-options.ts'

interface Flags extends SeederFlags {
  readonly from?: string
  readonly platform?: readonly Platform[]
  readonly wait?: boolean
  readonly warm?: string
  readonly json?: boolean
}

export function publishCommand(): Command {
  const command = new Command('publish')
    .description('Has the seeder copy images from a registry, and tells what became of them.')
    .argument('<REF...>', '[host[:port]/]name[:tag][@digest], one or more', references)
    .option('--from <REGISTRY/REPO>', 'where to copy from, if the references do not say it', source)
    .addOption(platformOption('copy only this one of a multi-platform image'))
    .option('--wait', 'until everything is published or has failed; else the seeder goes on by itself')
    .option(
      '--warm <SELECTOR>',
      'nodes that fetch the images at once; with --wait, until they have them',
      selector,
    )
  return addSeederOptions(command)
    .option('--json', 'print the result as JSON, as the last line of standard output')
    .action(run)
}

async function run(references: readonly string[], flags: Flags): Promise<void> {
  const interruption = interruptions()
  const { from, platform, wait = false, warm, json = false } = flags
  // What talks HTTP is of no use to the services that this program runs otherwise.
  const { SILENT_MS_MAX } = await import('../control-client/control-client.ts')
  const { runPublish } = await import('../publish/publish.ts')
  const { controlTargetOf } = await import('../control-client/control-target.ts')
  try {
    const target = await controlTargetOf(flags, { signal: interruption.signal, silentMsMax: SILENT_MS_MAX })
    const wanted: PublishRequest = {
      references: [...references],
      wait,
      ...(from !== undefined && { from }),
      ...(platform !== undefined && { platforms: platform.map(platformText) }),
      ...(warm !== undefined && { warm }),
    }
    const report = await runPublish(target, wanted, process.stderr).finally(() => target.client.close())
    print(report, json)
  } catch (error) {
    const interruptedBy = interruption.name()
    if (interruptedBy === undefined) console.error(`error: ${(error as Error).message}`)
    else
      console.error(`${interruptedBy}: no longer waited for; what the seeder was asked for it goes on with`)
    const failed = error instanceof UsageError ? 2 : 1
    process.exitCode = interruptedBy === undefined ? failed : statusOf(interruptedBy)
  }
}

function print(report: PublishReport, isJson: boolean): void {
  if (isJson) console.log(JSON.stringify(report))
  if ('accepted' in report) {
    if (!isJson) for (const reference of report.accepted) console.log(reference)
    return
  }
  const { published, failed } = report
  if (!isJson) for (const { reference, digest } of published) console.log(withDigest(reference, digest))
  for (const { reference, code, message } of failed)
    console.error(`error: ${reference}: ${message} (${code})`)
  process.exitCode = failed.length === 0 ? 0 : 1
}

function references(text: string, before: readonly string[] = []): readonly string[] {
  const reference = checked(parsePublished, text)
  if (before.includes(reference)) return before
  if (before.length >= PUBLISH_REFERENCES_MAX)
    throw new InvalidArgumentError(`At most ${PUBLISH_REFERENCES_MAX} are allowed.`)
  return [...before, reference]
}

function source(text: string): string {
  return checked(parseSource, text)
}

function selector(text: string): string {
  if (/^[^\p{Cc}]{1,1024}$/u.test(text)) return text
  throw new InvalidArgumentError('A selector of at most 1024 characters is expected.')
}

function checked<T>(parse: (text: string) => T, text: string): T {
  try {
    return parse(text)
  } catch (error) {
    if (error instanceof ReferenceInvalidError) throw new InvalidArgumentError(error.message)
    throw error
  }
}
