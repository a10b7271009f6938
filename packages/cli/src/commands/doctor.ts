/** `shoal doctor`: what is wrong with this node, and what to do. Exit status 0 where nothing fails, 1 where something does. */

import { version } from '@shoal/service/version'
import { Command } from 'commander'
import { HOST_CONFIG_FILE } from '../doctor/agent-settings.ts'
import { agentReference } from '../services.ts'
import { addSettingOptions } from './service.ts'

const HELP_FOOTER = `
The settings are the agent's own: give the flags and variables that it has, or its file. Where no file is named,
${HOST_CONFIG_FILE} is read if it is there. Exit status: 0 where nothing fails (warnings are no failures), 1 where
something does, 2 for what was typed wrong. Everything that is looked at is described in docs/doctor.md.`

export function doctorCommand(init: { readonly knownVariables: ReadonlySet<string> }): Command {
  const command = new Command('doctor')
    .description('Looks at this node, its agent and what that needs, and says what is wrong and what to do.')
    .showHelpAfterError('See shoal doctor --help.')
    .option('--json', 'print the report as one JSON document')
  addSettingOptions(command, agentReference.schema)
  command.addHelpText('after', HELP_FOOTER)
  return command.action(async (options: { json?: true; config?: string }) => {
    const { json, config, ...flags } = options
    const { runDoctor } = await import('../doctor/doctor.ts')
    const { exitStatusOf } = await import('../doctor/report.ts')
    const { reportText } = await import('../doctor/report-text.ts')
    const report = await runDoctor({
      ...init,
      version,
      flags,
      config,
      variables: process.env,
      hostFile: HOST_CONFIG_FILE,
    })
    console.log(json === true ? JSON.stringify(report, undefined, 2) : reportText(report, process.stdout))
    process.exitCode = exitStatusOf(report)
  })
}
