/** Program: a client inside a node's network namespace. Pulls from the agent beside it, reads what that agent counts. */
import { openConnections } from '@shoal/registry-client'
import { metricsText, timedPull } from './pull.ts'
import { serveTasks } from './task-host.ts'

const client = openConnections()
const { signal } = new AbortController()

await serveTasks({
  pull: ({ agentUrl, tag }: { agentUrl: string; tag: string }, onBytes) =>
    timedPull({ client, agentUrl, tag, signal, onBytes }),
  metrics: ({ url }: { url: string }) => metricsText(url, { client, signal }),
})
process.exit(0)
