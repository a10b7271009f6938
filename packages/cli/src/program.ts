/** Every command, with its flags; made without doing anything, so that tests may ask it what it takes. */
import { createAgent } from '@shoal/agent'
import { createSeeder } from '@shoal/seeder'
import { version } from '@shoal/service/version'
import { settingsOf } from '@shoal/settings'
import { Command } from 'commander'
import { installClientCommand, uninstallClientCommand } from './commands/client-config.ts'
import { demoCommand } from './commands/demo.ts'
import { doctorCommand } from './commands/doctor.ts'
import { fanoutCommand } from './commands/fanout.ts'
import { gcCommand } from './commands/gc.ts'
import { healthCommand } from './commands/health.ts'
import { kubernetesCommand } from './commands/kubernetes.ts'
import { publishCommand } from './commands/publish.ts'
import { pushCommand } from './commands/push.ts'
import { scrubCommand } from './commands/scrub.ts'
import { serviceCommand } from './commands/service.ts'
import { agentReference, seederReference } from './services.ts'

const knownVariables = new Set(
  [seederReference, agentReference]
    .flatMap(({ schema }) => settingsOf(schema))
    .map(({ variable }) => variable),
)

export function shoalProgram(): Command {
  const program = new Command('shoal')
    .description('Hands container images to a whole cluster at once, from node to node.')
    .version(version)
    .showHelpAfterError('See --help.')
  program.addCommand(serviceCommand({ ...seederReference, create: createSeeder, knownVariables }))
  program.addCommand(serviceCommand({ ...agentReference, create: createAgent, knownVariables }))
  program.addCommand(doctorCommand({ knownVariables }))
  program.addCommand(pushCommand())
  program.addCommand(publishCommand())
  program.addCommand(gcCommand())
  program.addCommand(scrubCommand())
  program.addCommand(installClientCommand())
  program.addCommand(uninstallClientCommand())
  program.addCommand(healthCommand())
  program.addCommand(kubernetesCommand())
  program.addCommand(demoCommand())
  program.addCommand(fanoutCommand())
  return program
}
