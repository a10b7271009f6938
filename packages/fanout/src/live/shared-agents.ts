/** Program: many agents in one process, each with its own limits, and the clients that pull from them. */
import { type Agent, AgentSettings, createAgent } from '@shoal/agent'
import { openConnections } from '@shoal/registry-client'
import { loadSettings } from '@shoal/settings'
import { pino } from 'pino'
import { timedPull } from './pull.ts'
import { serveTasks } from './task-host.ts'

const client = openConnections()
const { signal } = new AbortController()
const log = pino({ level: 'warn' }, pino.destination(2))
const agents: Agent[] = []

await serveTasks({
  start: async (flags: Record<string, string>) => {
    const { settings } = loadSettings(AgentSettings, { flags, variables: {} }, new Set())
    const agent = await createAgent({ settings, log: log.child({ node: settings.name }) })
    agents.push(agent)
    await agent.start()
    return agent.url
  },
  pull: ({ agentUrl, tag }: { agentUrl: string; tag: string }, onBytes) =>
    timedPull({ client, agentUrl, tag, signal, onBytes }),
})
// Nothing of an agent here is kept, so nothing has to be written down: its folder goes with it.
process.exit(0)
