/** What every strategy's simulation is: the shape of the function, and what it tells while it runs. */
import type { NodeEffect, NodeEvent } from '@shoal/engine'
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

/** One step of one node's engine: what it was told, and what it answered. */
export interface NodeStep {
  readonly nowMs: number
  /** `node-0` and so on; `seeder`. */
  readonly node: string
  readonly event: NodeEvent
  readonly effects: readonly NodeEffect[]
}

/** Sees every step of every node, in the order in which they happen. */
export type Watch = (step: NodeStep) => void
