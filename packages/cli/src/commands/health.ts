/**
 * `shoal health`: whether this host's service serves, for health checks of containers. Status 0 or 1.
 * It runs twice a minute on every node, so that it loads next to nothing: no schema, no service, no HTTP library.
 */
import { DEFAULT_LISTEN, type ServiceName } from '@shoal/core'
import { configEntriesOf } from '@shoal/settings/config-entries'
import { Argument, Command } from 'commander'
import { firstReady } from '../health/ready.ts'
import { addressesToAsk } from '../health/where.ts'

export function healthCommand(): Command {
  return new Command('health')
    .description('Asks the service of this host whether it serves.')
    .addArgument(
      new Argument('[service]', 'which one; either of them where not told').choices(
        Object.keys(DEFAULT_LISTEN),
      ),
    )
    .option('--config <FILE>', 'the service’s YAML file [SHOAL_CONFIG]')
    .addHelpText(
      'after',
      '\nThe address is the service’s own setting: SHOAL_LISTEN, or listen in the file. Flags of the service cannot be seen from here.',
    )
    .action(run)
}

async function run(service: ServiceName | undefined, { config }: { config?: string }): Promise<void> {
  try {
    const path = config ?? process.env.SHOAL_CONFIG
    const entries = path ? await configEntriesOf(path) : []
    const configured = entries.find(({ key }) => key === 'listen')?.value
    const addresses = addressesToAsk({ service, variable: process.env.SHOAL_LISTEN, configured })
    console.log(`ready: ${await firstReady(addresses)}`)
  } catch (error) {
    console.error(`not ready: ${(error as Error).message.replaceAll('\n', ' ')}`)
    process.exitCode = 1
  }
}
