/** `shoal kubernetes …`: what the pods of the Helm chart do besides running a service. */
import { once } from 'node:events'
import { UsageError } from '@shoal/core'
import { Command, InvalidArgumentError } from 'commander'
import type { ApiServer } from '../kubernetes/api-server.ts'
import type { Cluster } from '../kubernetes/in-cluster.ts'
import { interruptions, statusOf } from './interruptions.ts'

const TIMEOUT_SECONDS_DEFAULT = 240
/** Nearly as long as a timer may be: it only keeps the process. */
const IDLE_MS = 2 ** 30

export function kubernetesCommand(): Command {
  const command = new Command('kubernetes').description(
    'What pods of a cluster do besides running a service.',
  )
  command
    .command('node-zone')
    .description('Writes the zone of a node, which is one of its labels, into the file that an agent reads.')
    .requiredOption('--node <NAME>', 'the node')
    .requiredOption('--label <LABEL>', 'the label, such as topology.kubernetes.io/zone')
    .requiredOption('--output <FILE>', 'the file, as in the agent’s setting zoneFile')
    .action(nodeZone)
  command
    .command('wait-for-daemonset')
    .description(
      'Waits until a DaemonSet has a ready pod on each of its nodes; says after that time which have none.',
    )
    .argument('<NAME>', 'the DaemonSet')
    .option('--timeout <SECONDS>', 'how long', wholeNumber(1, 86_400), TIMEOUT_SECONDS_DEFAULT)
    .option('--namespace <NAME>', 'where it is (default: the namespace of this pod)')
    .action(waitForDaemonSet)
  command
    .command('own-folder')
    .description('Gives a folder of the node, with what is in it, to the user that the agent runs as.')
    .argument('<FOLDER>', 'the folder')
    .requiredOption('--user <ID>', 'the user', wholeNumber(0, 2 ** 31))
    .requiredOption('--group <ID>', 'the group', wholeNumber(0, 2 ** 31))
    .action(giveFolder)
  command
    .command('idle')
    .description('Does nothing until it is asked to stop: for pods whose init containers did the work.')
    .action(idle)
  return command
}

async function nodeZone(question: { node: string; label: string; output: string }): Promise<void> {
  await withApiServer(async (api, _cluster, signal) => {
    const { writeNodeZone } = await import('../kubernetes/node-zone.ts')
    const zone = await writeNodeZone(api, question, signal)
    const has = zone === '' ? `has no label ${question.label}: it is in no zone` : `is in zone ${zone}`
    console.log(`node ${question.node} ${has}`)
  })
}

async function waitForDaemonSet(
  name: string,
  { timeout, namespace }: { timeout: number; namespace?: string },
): Promise<void> {
  await withApiServer(async (api, cluster, signal) => {
    const { INTERVAL_MS, waitForDaemonSet } = await import('../kubernetes/wait-for-daemonset.ts')
    const wait = {
      name,
      namespace: namespace ?? cluster.namespace,
      timeoutMs: timeout * 1_000,
      intervalMs: INTERVAL_MS,
    }
    await waitForDaemonSet(api, wait, (text) => console.log(text), signal)
  })
}

async function giveFolder(folder: string, owner: { user: number; group: number }): Promise<void> {
  await orItsStatus(async (signal) => {
    const { giveFolder } = await import('../kubernetes/give-folder.ts')
    const isChanged = await giveFolder(folder, owner, signal)
    const whose = `${owner.user}:${owner.group}`
    console.log(isChanged ? `${folder} belongs to ${whose} now` : `${folder} belongs to ${whose} already`)
  })
}

async function idle(): Promise<void> {
  const stayed = setInterval(() => {}, IDLE_MS)
  const asked = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
  console.log('idle until SIGTERM')
  await asked
  clearInterval(stayed)
}

async function withApiServer(
  work: (api: ApiServer, cluster: Cluster, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  await orItsStatus(async (signal) => {
    const { inCluster } = await import('../kubernetes/in-cluster.ts')
    const { ApiServer } = await import('../kubernetes/api-server.ts')
    const cluster = await inCluster(process.env)
    const api = new ApiServer({ cluster })
    await work(api, cluster, signal).finally(() => api.stop())
  })
}

/** 0 when it is done, 1 when it could not be, 2 where it was asked for wrongly. */
async function orItsStatus(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interruption = interruptions()
  try {
    await work(interruption.signal)
  } catch (error) {
    console.error(`error: ${(error as Error).message}`)
    const interruptedBy = interruption.name()
    if (interruptedBy !== undefined) process.exitCode = statusOf(interruptedBy)
    else process.exitCode = error instanceof UsageError ? 2 : 1
  }
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d{1,10}$/.test(text) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`)
  }
}
