/** `shoal …`: the command line. */
import { Agent, AgentSettings } from '@shoal/agent'
import { Seeder, SeederSettings } from '@shoal/seeder'
import { Command } from 'commander'
import { demoCommand } from './commands/demo.ts'
import { serviceCommand } from './commands/service.ts'
import { settingsOf } from './settings/setting.ts'
import { version } from './version.ts'

const knownVariables = new Set(
  [...settingsOf(SeederSettings), ...settingsOf(AgentSettings)].map(({ variable }) => variable),
)

const program = new Command('shoal')
  .description('Hands container images to a whole cluster at once, from node to node.')
  .version(version)
  .showHelpAfterError()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))

program.addCommand(
  serviceCommand({
    name: 'seeder',
    description: 'The registry that images are pushed to, the tracker, and the first source of every layer.',
    schema: SeederSettings,
    create: (parts) => new Seeder(parts),
    knownVariables,
  }),
)
program.addCommand(
  serviceCommand({
    name: 'agent',
    description: 'The registry on localhost that a node pulls from: layers come from other agents first.',
    schema: AgentSettings,
    create: (parts) => new Agent(parts),
    knownVariables,
  }),
)
program.addCommand(demoCommand())

await program.parseAsync()
