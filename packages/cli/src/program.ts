/** Every command, with its flags; made without doing anything, so that tests may ask it what it takes. */
import type { Command } from 'commander'
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
import { knownVariables, serviceProgram } from './service-program.ts'

export function shoalProgram(): Command {
  const program = serviceProgram()
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
