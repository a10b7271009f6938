/** `shoal install-client` and `shoal uninstall-client`: the container clients of this node, told to ask the agent first. */

import type { ClientReport } from '@shoal/client-config'
import { AGENT_DEFAULT, REGISTRIES_DEFAULT, RUNTIMES, type Runtime } from '@shoal/client-config/wish'
import { UsageError } from '@shoal/core'
import { Command, InvalidArgumentError, Option } from 'commander'

interface Flags {
  readonly runtime?: readonly Runtime[]
  readonly agent: string
  readonly registries: string
  readonly root: string
  readonly bestEffort?: boolean
}

export function installClientCommand(): Command {
  return new Command('install-client')
    .description(
      'Has the container clients of this host ask the agent first. What it changes can be taken back.',
    )
    .addOption(runtimeOption('the client; can be given several times').makeOptionMandatory())
    .option('--agent <HOST:PORT>', 'where the agent listens', AGENT_DEFAULT)
    .option(
      '--registries <LIST>',
      'registries to mirror, as in the seeder’s upstreams: docker.io,registry.corp:5000=http://10.0.0.5:5000; * is all',
      REGISTRIES_DEFAULT,
    )
    .addOption(rootOption())
    .option('--best-effort', 'end with status 0 also when something had to be left as it is')
    .action(install)
}

export function uninstallClientCommand(): Command {
  return new Command('uninstall-client')
    .description('Takes back what install-client changed on this host; every file is what it was before.')
    .addOption(runtimeOption('only this client; can be given several times (default: all)'))
    .addOption(rootOption())
    .action(uninstall)
}

async function install({ runtime = [], agent, registries, root, bestEffort = false }: Flags): Promise<void> {
  const { installClient } = await import('@shoal/client-config')
  await run(() => installClient({ runtimes: runtime, agent, registries, root }), bestEffort)
}

async function uninstall({ runtime, root }: Flags): Promise<void> {
  const { uninstallClient } = await import('@shoal/client-config')
  await run(() => uninstallClient({ root, ...(runtime !== undefined && { runtimes: runtime }) }), false)
}

async function run(work: () => ClientReport, isBestEffort: boolean): Promise<void> {
  const { ClientConfigError, isComplete, reportLines } = await import('@shoal/client-config')
  try {
    const report = work()
    for (const line of reportLines(report)) console.log(line)
    process.exitCode = isComplete(report) || isBestEffort ? 0 : 1
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof ClientConfigError)) throw error
    console.error(`error: ${error.message}`)
    if (error instanceof UsageError) process.exitCode = 2
    else process.exitCode = isBestEffort ? 0 : 1
  }
}

function runtimeOption(description: string): Option {
  return new Option('--runtime <NAME>', `${description}: ${RUNTIMES.join(', ')}`).argParser(
    (text: string, before: readonly Runtime[] = []) => {
      const runtime = RUNTIMES.find((one) => one === text)
      if (runtime === undefined) throw new InvalidArgumentError(`It is one of ${RUNTIMES.join(', ')}.`)
      return before.includes(runtime) ? before : [...before, runtime]
    },
  )
}

function rootOption(): Option {
  return new Option('--root <DIR>', 'where the host’s file system is').default('/')
}
