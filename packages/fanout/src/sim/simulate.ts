/** The simulator's entrance. Pure. */
import type { StrategyRun } from '../result.ts'
import type { Scenario, StrategyName } from './scenario.ts'
import { simulateShoal } from './shoal/shoal.ts'

export interface SimulationProgress {
  readonly strategy: StrategyName
  readonly completedNodes: number
  /** Virtual. */
  readonly atSeconds: number
  readonly events: number
  /** Of all bytes that are wanted. */
  readonly receivedShare: number
}

/** Synchronous; the same scenario gives the same run, to the last bit. */
export type Simulate = (
  scenario: Scenario,
  strategy: StrategyName,
  onProgress: (progress: SimulationProgress) => void,
) => StrategyRun

export const simulate: Simulate = (scenario, strategy, onProgress) => {
  switch (strategy) {
    case 'shoal':
      return simulateShoal(scenario, strategy, onProgress)
    default:
      throw new Error(`strategy ${strategy} is not there yet`)
  }
}
