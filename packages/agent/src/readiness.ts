/**
 * What stands against sending clients to this agent. Pure.
 *
 * A seeder that is away does not: what is cached here, or at other agents, is what the agent is for then. But one that was never
 * there since the agent began, and an empty cache, are a wrong setting as a rule, and nothing can be had from such an agent. With a
 * full disk every image still passes through; it is told because somebody has to make room.
 */
import type { Readiness } from '@shoal/service'

export interface AgentState {
  readonly seeder: {
    /** Since the agent began. */
    readonly wasFound: boolean
    /** Without secrets: anybody may ask. */
    readonly problem: string | undefined
  }
  readonly hasBlobs: boolean
  /** What is wrong with the cache's disk. */
  readonly disk: string | undefined
}

export function readinessOf({ seeder, hasBlobs, disk }: AgentState): Readiness {
  const isCutOff = !seeder.wasFound && !hasBlobs
  return {
    problems: [
      ...(isCutOff ? [seeder.problem ?? 'the seeder was not reached yet'] : []),
      ...(disk === undefined ? [] : [disk]),
    ],
    warnings: [],
  }
}
