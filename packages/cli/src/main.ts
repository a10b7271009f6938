/** `shoal …`: the command line. */
const program = await programFor(process.argv[2])
// What was typed wrong is status 2, help and version are 0.
for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])]) {
  command.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
}

await program.parseAsync()

/** A health check runs twice a minute on every node, and services run there all the time: the rest is not loaded for them. */
async function programFor(name: string | undefined) {
  if (name === 'seeder' || name === 'agent') return (await import('./service-program.ts')).serviceProgram()
  if (name !== 'health') return (await import('./program.ts')).shoalProgram()
  const { Command } = await import('commander')
  const { healthCommand } = await import('./commands/health.ts')
  return new Command('shoal').addCommand(healthCommand())
}
