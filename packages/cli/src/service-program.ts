/** The two services as commands, and the program that every command belongs to: all that a node loads to run a service. */
import { createAgent } from '@shoal/agent'
import { createSeeder } from '@shoal/seeder'
import { version } from '@shoal/service/version'
import { settingsOf } from '@shoal/settings'
import { Command } from 'commander'
import { serviceCommand } from './commands/service.ts'
import { agentReference, seederReference } from './services.ts'

export const knownVariables = new Set(
  [seederReference, agentReference]
    .flatMap(({ schema }) => settingsOf(schema))
    .map(({ variable }) => variable),
)

/** `shoal` with its services and no other command. */
export function serviceProgram(): Command {
  return new Command('shoal')
    .description('Hands container images to a whole cluster at once, from node to node.')
    .version(version)
    .showHelpAfterError('See --help.')
    .addCommand(serviceCommand({ ...seederReference, create: createSeeder, knownVariables }))
    .addCommand(serviceCommand({ ...agentReference, create: createAgent, knownVariables }))
}
