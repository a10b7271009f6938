/**
 * Goal: `shoal fanout` refuses what makes no sense before it starts anything.
 * Method: the command's own parser, in this process; that a refusal is status 2 is shown by the real command.
 */
import { CommanderError } from 'commander'
import { describe, expect, it } from 'vitest'
import { fanoutCommand } from './fanout.ts'

/** @returns commander's code for what is wrong */
async function refusal(words: readonly string[]): Promise<string> {
  const fanout = fanoutCommand()
  for (const command of [fanout, ...fanout.commands])
    command.exitOverride().configureOutput({ writeErr: () => {} })
  const error = await fanout.parseAsync([...words], { from: 'user' }).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(CommanderError)
  return (error as CommanderError).code
}

describe('fanout', () => {
  it.each([
    ['--nodes', '0'],
    ['--nodes', '1e2'],
    ['--image-size', '40MB,'],
    ['--image-size', 'big'],
    ['--link', '20'],
    ['--link', '1bps'],
    ['--isolation', 'none'],
    ['--seed', '-1'],
    ['--timeout', '10'],
  ])('live %s %s is refused', async (...words) => {
    expect(await refusal(['live', ...words])).toBe('commander.invalidArgument')
  })

  it.each([
    ['--strategies', 'shoal,shoal'],
    ['--strategies', 'none'],
  ])('sim %s %s is refused', async (...words) => {
    expect(await refusal(['sim', ...words])).toBe('commander.invalidArgument')
  })

  it.each(['live', 'sim', 'validate'])('%s refuses flags that it does not know', async (name) => {
    expect(await refusal([name, '--unknown', '1'])).toBe('commander.unknownOption')
  })
})
