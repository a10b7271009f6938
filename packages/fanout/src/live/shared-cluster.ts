/**
 * Many agents in each of a few processes, for clusters that would not fit into memory otherwise. Each agent has its own
 * limiter, cache and ports; only V8 and its threads are shared.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openConnections } from '@shoal/registry-client'
import { inParallel } from '@shoal/service'
import { MetricsPage } from '../processes/metrics-page.ts'
import {
  type LiveNode,
  LOOPBACK,
  limiterFlags,
  limiterText,
  nodeNames,
  type PullTimes,
  STARTS_AT_ONCE,
  type StartLiveCluster,
} from './live-cluster.ts'
import { metricsText } from './pull.ts'
import { Services } from './services.ts'
import { TaskChild } from './task-child.ts'

/** As many as keep two cores busy while one of them collects garbage. */
const PROCESSES_MAX = 4
const PROGRAM = fileURLToPath(new URL('./shared-agents.js', import.meta.url))

export const startSharedCluster: StartLiveCluster = async (init) => {
  const client = openConnections()
  init.cleanup.add({ name: 'connections', end: () => client.close() })
  const services = new Services(init)
  const { listen } = await services.seeder([...LOOPBACK, ...limiterFlags(init.linkBytesPerSecond)])
  const seeder = `http://${listen}`
  const readMetrics = (url: string) => async (signal: AbortSignal) =>
    new MetricsPage(url, await metricsText(url, { client, signal }))

  const processCount = Math.min(PROCESSES_MAX, init.nodeCount)
  const children = Array.from({ length: processCount }, (_, index) =>
    services.adopt(new TaskChild(`agents-${index + 1}`, [process.execPath, PROGRAM])),
  )
  const bytesPerSecond = limiterText(init.linkBytesPerSecond)
  const nodes: LiveNode[] = []
  await inParallel([...nodeNames(init.nodeCount).entries()], STARTS_AT_ONCE, async ([index, name]) => {
    const child = children[index % processCount]!
    const agentUrl = await child.do<string>(
      'start',
      {
        name,
        seeder,
        cache: join(init.folder, name),
        listen: '127.0.0.1:0',
        peerListen: '127.0.0.1:0',
        uploadBytesPerSecond: bytesPerSecond,
        downloadBytesPerSecond: bytesPerSecond,
      },
      init.signal,
    )
    nodes.push({
      name,
      agentUrl,
      pull: (tag, signal, onBytes) => child.do<PullTimes>('pull', { agentUrl, tag }, signal, onBytes),
      readMetrics: readMetrics(agentUrl),
    })
    init.onStarted(name)
  })
  return { nodes, readSeederMetrics: readMetrics(seeder) }
}
