/** What every strategy's simulation is: the shape of the function, and what it tells while it runs. */
import type { Scenario, StrategyName } from './scenario.ts'
import type { StrategyRun } from './strategy-run.ts'

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
