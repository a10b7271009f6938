/** Every agent a process of its own on loopback, its link kept by its own limiter. Runs anywhere. */

import { openConnections } from '@shoal/registry-client'
import { inParallel } from '@shoal/service'
import { MetricsPage } from '../processes/metrics-page.ts'
import {
  type LiveNode,
  LOOPBACK,
  limiterFlags,
  nodeNames,
  STARTS_AT_ONCE,
  type StartLiveCluster,
} from './live-cluster.ts'
import { metricsText, timedPull } from './pull.ts'
import { Services } from './services.ts'

export const startProcessCluster: StartLiveCluster = async (init) => {
  const client = openConnections()
  init.cleanup.add({ name: 'connections', end: () => client.close() })
  const services = new Services(init)
  const flags = [...LOOPBACK, ...limiterFlags(init.linkBytesPerSecond)]
  const seederUrl = `http://${(await services.seeder(flags)).listen}`
  const readMetrics = (url: string) => async (signal: AbortSignal) =>
    new MetricsPage(url, await metricsText(url, { client, signal }))

  const nodes: LiveNode[] = []
  await inParallel(nodeNames(init.nodeCount), STARTS_AT_ONCE, async (name) => {
    const { listen } = await services.agent(name, ['--seeder', seederUrl, ...flags])
    const agentUrl = `http://${listen}`
    nodes.push({
      name,
      agentUrl,
      pull: (tag, signal, onBytes) => timedPull({ client, agentUrl, tag, signal, onBytes }),
      readMetrics: readMetrics(agentUrl),
    })
    init.onStarted(name)
  })
  return { nodes, readSeederMetrics: readMetrics(seederUrl) }
}
