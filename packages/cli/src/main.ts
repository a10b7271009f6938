/** `shoal …`: the command line. */
import { shoalProgram } from './program.ts'

const program = shoalProgram()
// What was typed wrong is status 2, help and version are 0.
for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])]) {
  command.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
}

await program.parseAsync()
