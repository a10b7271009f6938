/** The services that `shoal` runs, each with its words and its schema. */
import { AgentSettings } from '@shoal/agent'
import { SeederSettings } from '@shoal/seeder'

export const seederReference = {
  name: 'seeder',
  description: 'The registry that images are pushed to, the tracker, and the first source of every layer.',
  schema: SeederSettings,
} as const

export const agentReference = {
  name: 'agent',
  description: 'The registry on localhost that a node pulls from: layers come from other agents first.',
  schema: AgentSettings,
} as const
