/** `shoal demo`: a seeder, agents and a real image on this machine, in one command. */
import { fileURLToPath } from 'node:url'
import { Command, InvalidArgumentError } from 'commander'
import { runDemo } from '../demo/demo.ts'
import { parseBytes } from '../settings/bytes-text.ts'

const AGENTS_MAX = 64
const IMAGE_BYTES_MAX = 20e9

export function demoCommand(): Command {
  return new Command('demo')
    .description('Starts a seeder and agents here, pushes a real image, and has all agents pull it at once.')
    .option('--agents <N>', `agents, from 1 to ${AGENTS_MAX}`, agentCount, 8)
    .option('--image-size <SIZE>', 'bytes of the image at least, such as 150MB or 1GiB', imageBytes, 150e6)
    .option('--json', 'print the result as JSON, as the last line', false)
    .option('--keep', 'leave everything running until Ctrl-C, and print what to type', false)
    .action(async (options: { agents: number; imageSize: number; json: boolean; keep: boolean }) => {
      const stop = new AbortController()
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
      const bin = fileURLToPath(new URL('../../bin/shoal.js', import.meta.url))
      const { agents, imageSize, json, keep } = options
      const report = await runDemo(
        { agents, imageBytes: imageSize, json, keep, shoal: [process.execPath, bin] },
        stop.signal,
      )
      process.exitCode = report.ok ? 0 : 1
    })
}

function agentCount(text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count >= 1 && count <= AGENTS_MAX) return count
  throw new InvalidArgumentError(`A whole number from 1 to ${AGENTS_MAX} is allowed.`)
}

function imageBytes(text: string): number {
  const bytes = parseBytes(text)
  if (bytes !== undefined && bytes <= IMAGE_BYTES_MAX) return bytes
  throw new InvalidArgumentError('A size up to 20GB is allowed, such as 150MB or 1GiB.')
}
