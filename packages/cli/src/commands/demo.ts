/** `shoal demo`: a seeder, agents and a real image on this machine, in one command. */
import { fileURLToPath } from 'node:url'
import { formatBytes, parseBytes } from '@shoal/settings'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { DemoOptions } from '../demo/demo.ts'
import { DemoInterruptedError } from '../demo/errors.ts'
import { interruptions, statusOf } from './interruptions.ts'

const AGENTS_MAX = 64
const IMAGE_BYTES = 160e6
const IMAGE_BYTES_MAX = 20e9

interface Flags {
  readonly agents: number
  readonly imageSize: number
  readonly json?: boolean
  readonly keep?: boolean
}

export function demoCommand(): Command {
  return new Command('demo')
    .description('Starts a seeder and agents here, pushes a real image, and has all agents pull it at once.')
    .option('--agents <N>', `agents, from 1 to ${AGENTS_MAX}`, agentCount, 8)
    .addOption(
      new Option('--image-size <SIZE>', 'bytes of the image at least, such as 160MB or 1GiB')
        .argParser(imageBytes)
        .default(IMAGE_BYTES, formatBytes(IMAGE_BYTES)),
    )
    .option('--json', 'print the result as JSON, as the last line of standard output')
    .option('--keep', 'leave everything running until Ctrl-C, and print what to type')
    .action(run)
}

async function run({ agents, imageSize, json = false, keep = false }: Flags): Promise<void> {
  const bin = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url))
  // With the flags that this process was started with: those of bin/shoal.js.
  const shoal = [process.execPath, ...process.execArgv, bin]
  const options: DemoOptions = { agents, imageBytes: imageSize, json, keep, shoal }
  const interruption = interruptions((signalName) => new DemoInterruptedError(signalName))
  // What builds and pushes images is of no use to the services that this program runs otherwise.
  const { runDemo } = await import('../demo/demo.ts')
  const report = await runDemo(options, { out: process.stdout, err: process.stderr }, interruption.signal)
  // With --keep, Ctrl-C is how it ends.
  const interruptedBy = report.ok && keep ? undefined : interruption.name()
  if (interruptedBy !== undefined) process.exitCode = statusOf(interruptedBy)
  else process.exitCode = report.ok ? 0 : 1
}

function agentCount(text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count >= 1 && count <= AGENTS_MAX) return count
  throw new InvalidArgumentError(`A whole number from 1 to ${AGENTS_MAX} is allowed.`)
}

function imageBytes(text: string): number {
  const bytes = parseBytes(text)
  if (bytes !== undefined && bytes <= IMAGE_BYTES_MAX) return bytes
  throw new InvalidArgumentError('A size up to 20GB is allowed, such as 160MB or 1GiB.')
}
