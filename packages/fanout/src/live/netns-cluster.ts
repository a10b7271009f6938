/** Every agent in a network namespace of its own behind a shaped link, and a client beside it: as near to machines as one comes. */
import { fileURLToPath } from 'node:url'
import { inParallel } from '@shoal/service'
import { MetricsPage } from '../processes/metrics-page.ts'
import {
  type LiveNode,
  nodeNames,
  type PullTimes,
  STARTS_AT_ONCE,
  type StartLiveCluster,
} from './live-cluster.ts'
import { makeNamespaces, type NamespacedHost } from './namespaces.ts'
import { Services } from './services.ts'
import { TaskChild } from './task-child.ts'

const PROGRAM = fileURLToPath(new URL('./puller.js', import.meta.url))
const AGENT_LISTEN = '127.0.0.1:5001'
const SEEDER_PORT = 7000
const PEER_PORT = 6001

export const startNetnsCluster: StartLiveCluster = async (init) => {
  const { hosts } = await makeNamespaces({ ...init, names: ['seeder', ...nodeNames(init.nodeCount)] })
  const services = new Services(init)
  const client = ({ name, prefix }: NamespacedHost) =>
    services.adopt(
      new TaskChild(`client on ${name}`, [...prefix, process.execPath, ...process.execArgv, PROGRAM]),
    )
  // From beside the service: what is read of it does not take part of its link.
  const readMetrics = (child: TaskChild, url: string) => async (signal: AbortSignal) =>
    new MetricsPage(url, await child.do<string>('metrics', { url }, signal))

  const [seederHost, ...agentHosts] = hosts as [NamespacedHost, ...NamespacedHost[]]
  const seederListen = `${seederHost.address}:${SEEDER_PORT}`
  const seeder = `http://${seederListen}`
  await services.seeder(
    ['--listen', seederListen, '--peer-listen', `${seederHost.address}:${PEER_PORT}`],
    seederHost.prefix,
  )
  const seederClient = client(seederHost)

  const nodes: LiveNode[] = []
  await inParallel(agentHosts, STARTS_AT_ONCE, async (host) => {
    const peerListen = `${host.address}:${PEER_PORT}`
    const flags = ['--seeder', seeder, '--listen', AGENT_LISTEN, '--peer-listen', peerListen]
    await services.agent(host.name, flags, host.prefix)
    const child = client(host)
    const agentUrl = `http://${AGENT_LISTEN}`
    // Its program takes a moment to load, which is no part of a pull: it has answered once before.
    await child.do('metrics', { url: agentUrl }, init.signal)
    nodes.push({
      name: host.name,
      agentUrl,
      pull: (tag, signal, onBytes) => child.do<PullTimes>('pull', { agentUrl, tag }, signal, onBytes),
      readMetrics: readMetrics(child, agentUrl),
    })
    init.onStarted(host.name)
  })
  return { nodes, readSeederMetrics: readMetrics(seederClient, seeder) }
}
