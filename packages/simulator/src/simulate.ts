/** The simulator’s entrance. Pure. */

import { simulateKraken } from './baselines/kraken.ts'
import { simulateMesh } from './baselines/mesh.ts'
import { simulateRegistry } from './baselines/registry.ts'
import { simulateTree } from './baselines/tree.ts'
import type { StrategyName } from './scenario.ts'
import { simulateShoal } from './shoal/shoal.ts'
import type { Simulate } from './simulation.ts'

const SIMULATIONS: Readonly<Record<StrategyName, Simulate>> = {
  shoal: simulateShoal,
  registry: simulateRegistry,
  tree: simulateTree,
  mesh: simulateMesh,
  kraken: simulateKraken,
}

export const simulate: Simulate = (scenario, strategy, onProgress) =>
  SIMULATIONS[strategy](scenario, strategy, onProgress)
