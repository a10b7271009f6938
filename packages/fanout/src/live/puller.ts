/** Program: a client inside a node's network namespace. Pulls from the agent beside it, reads what that agent counts. */
import { openConnections } from '@shoal/registry-client'
import { metricsText, timedPull } from './pull.ts'
import { serveTasks } from './task-host.ts'

const dispatcher = openConnections()
const { signal } = new AbortController()

await serveTasks({
  pull: ({ agentUrl, tag }: { agentUrl: string; tag: string }, onBytes) =>
    timedPull({ dispatcher, agentUrl, tag, signal, onBytes }),
  metrics: ({ url }: { url: string }) => metricsText(url, { dispatcher, signal }),
})
process.exit(0)
