/** Command lines in manifests, read by the program's own parser, which does nothing then. */
import type { Command } from 'commander'
import { shoalProgram } from '../../../packages/cli/src/program.ts'

/** @returns the name of the command, with those above it @throws CommanderError when the words are not understood */
export function understoodCommand(words: readonly string[]): string {
  const program = shoalProgram()
  let ran: string[] | undefined
  const prepare = (command: Command, above: readonly string[]): void => {
    command.exitOverride().configureOutput({ writeErr() {}, writeOut() {} })
    const names = [...above, command.name()]
    if (command.commands.length === 0)
      command.action(() => {
        ran = names
      })
    for (const inner of command.commands) prepare(inner, names)
  }
  prepare(program, [])
  program.parse([...words], { from: 'user' })
  return ran!.slice(1).join(' ')
}
