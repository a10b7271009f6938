/** The simulator's entrance. Pure. */

import { simulateKraken } from './baselines/kraken.ts'
import { simulateMesh } from './baselines/mesh.ts'
import { simulateRegistry } from './baselines/registry.ts'
import { simulateTree } from './baselines/tree.ts'
import type { Scenario, StrategyName } from './scenario.ts'
import { simulateShoal } from './shoal/shoal.ts'
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

const SIMULATIONS: Readonly<Record<StrategyName, Simulate>> = {
  shoal: simulateShoal,
  registry: simulateRegistry,
  tree: simulateTree,
  mesh: simulateMesh,
  kraken: simulateKraken,
}

export const simulate: Simulate = (scenario, strategy, onProgress) =>
  SIMULATIONS[strategy](scenario, strategy, onProgress)
