/** A command line as the program understands it, for pages that show one. Nothing is run. */
import type { Command } from 'commander'
import { shoalProgram } from '../program.ts'

/**
 * @param words what comes after `shoal`
 * @returns the command with its flags
 * @throws CommanderError
 */
export function understood(words: readonly string[]): Command {
  const program = shoalProgram()
  let ran: Command | undefined
  const prepare = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr() {}, writeOut() {} })
    if (command.commands.length === 0)
      command.action(() => {
        ran = command
      })
    command.commands.forEach(prepare)
  }
  prepare(program)
  program.parse([...words], { from: 'user' })
  return ran!
}
