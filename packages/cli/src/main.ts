/** `shoal …`: the command line. */
import { createAgent } from '@shoal/agent'
import { createSeeder } from '@shoal/seeder'
import { Command } from 'commander'
import { demoCommand } from './commands/demo.ts'
import { fanoutCommand } from './commands/fanout.ts'
import { pushCommand } from './commands/push.ts'
import { serviceCommand } from './commands/service.ts'
import { agentReference, seederReference } from './services.ts'
import { settingsOf } from './settings/setting.ts'
import { version } from './version.ts'

const knownVariables = new Set(
  [seederReference, agentReference]
    .flatMap(({ schema }) => settingsOf(schema))
    .map(({ variable }) => variable),
)

const program = new Command('shoal')
  .description('Hands container images to a whole cluster at once, from node to node.')
  .version(version)
  .showHelpAfterError('See --help.')

program.addCommand(serviceCommand({ ...seederReference, create: createSeeder, knownVariables }))
program.addCommand(serviceCommand({ ...agentReference, create: createAgent, knownVariables }))
program.addCommand(pushCommand())
program.addCommand(demoCommand())
program.addCommand(fanoutCommand())
// What was typed wrong is status 2, help and version are 0.
for (const command of [program, ...program.commands.flatMap((one) => [one, ...one.commands])]) {
  command.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
}

await program.parseAsync()
