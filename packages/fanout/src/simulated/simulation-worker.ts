/** The process that simulates: one job comes in, progress and the run go out. */
import { simulate } from '@shoal/simulator'
import type { SimulationJob, SimulationMessage } from './simulation-process.ts'

const PROGRESS_MS = 100

process.once('message', ({ scenario, strategy }: SimulationJob) => {
  let toldAtMs = 0
  try {
    const run = simulate(scenario, strategy, (progress) => {
      if (performance.now() - toldAtMs < PROGRESS_MS) return
      toldAtMs = performance.now()
      tell({ kind: 'progress', progress })
    })
    tell({ kind: 'done', run })
  } catch (error) {
    tell({ kind: 'broken', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
})

function tell(message: SimulationMessage): void {
  process.send?.(message)
}
