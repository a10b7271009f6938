/** `shoal push`: an image from a file or a folder to a registry, without a container engine. */
import { type Platform, ReferenceInvalidError } from '@shoal/oci'
import { Command, InvalidArgumentError } from 'commander'
import { type Destination, parseDestination } from '../push/destination.ts'
import { interruptions, statusOf } from './interruptions.ts'
import { platformOption } from './platform-option.ts'

interface Flags {
  readonly image?: string
  readonly platform?: readonly Platform[]
  readonly json?: boolean
}

export function pushCommand(): Command {
  return new Command('push')
    .description(
      "Pushes an image from an OCI layout, a docker save archive or a folder of skopeo's dir: to a registry.",
    )
    .argument('<PATH>', 'a folder or a tar, which may be compressed with gzip or zstd')
    .argument(
      '<REF>',
      'host[:port]/name[:tag]; https unless the host is this machine, or with http:// in front',
      destination,
    )
    .option('--image <NAME>', 'which image, where PATH has several: its name, tag or digest')
    .addOption(platformOption('push only this one of a multi-platform image'))
    .option('--json', 'print the result as JSON, as the last line of standard output')
    .action(run)
}

async function run(path: string, destination: Destination, flags: Flags): Promise<void> {
  const interruption = interruptions()
  // What reads archives and pushes images is of no use to the services that this program runs otherwise.
  const { runPush } = await import('../push/push.ts')
  try {
    const { image, platform = [], json } = flags
    const request = { path, destination, image, platforms: platform }
    const report = await runPush(request, process.stderr, interruption.signal)
    console.log(json ? JSON.stringify(report) : report.reference)
  } catch (error) {
    const interruptedBy = interruption.name()
    if (interruptedBy === undefined) console.error(`error: ${(error as Error).message}`)
    const { ImageArchiveError } = await import('@shoal/images')
    const failed = error instanceof ImageArchiveError ? 2 : 1
    process.exitCode = interruptedBy === undefined ? failed : statusOf(interruptedBy)
  }
}

function destination(text: string): Destination {
  try {
    return parseDestination(text)
  } catch (error) {
    if (error instanceof ReferenceInvalidError) throw new InvalidArgumentError(error.message)
    throw error
  }
}
