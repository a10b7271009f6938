import type { Agent } from './agent.ts'

export * from './errors.ts'
export * from './settings.ts'
export { zoneOf } from './zone.ts'
export type { Agent }

/** The service, not started. It is loaded only when it is wanted: a command line that runs one service pays for one. */
export async function createAgent(...init: ConstructorParameters<typeof Agent>): Promise<Agent> {
  const { Agent: Service } = await import('./agent.ts')
  return new Service(...init)
}
