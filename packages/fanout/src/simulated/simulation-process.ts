/**
 * Simulates in a process of its own: a run takes minutes without a pause and gigabytes, for which this program's own
 * process is not set up (see bin/shoal.js), and it can be ended at any moment.
 */

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Scenario, SimulationProgress, StrategyName, StrategyRun } from '@shoal/simulator'
import { SimulationEndedError } from './errors.ts'

const WORKER = fileURLToPath(new URL('./simulation-worker.js', import.meta.url))
const NODE_FLAGS = ['--max-semi-space-size=64', '--max-old-space-size=3500']

export interface SimulationJob {
  readonly scenario: Scenario
  readonly strategy: StrategyName
}

export type SimulationMessage =
  | { readonly kind: 'progress'; readonly progress: SimulationProgress }
  | { readonly kind: 'done'; readonly run: StrategyRun }
  | { readonly kind: 'broken'; readonly reason: string }

/** @throws the signal's reason; an Error with what the simulation says when it breaks a promise or ends without a result */
export async function simulateApart(
  job: SimulationJob,
  onProgress: (progress: SimulationProgress) => void,
  signal: AbortSignal,
): Promise<StrategyRun> {
  signal.throwIfAborted()
  const worker = fork(WORKER, [], {
    execArgv: NODE_FLAGS,
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const end = () => worker.kill('SIGKILL')
  process.once('exit', end)
  signal.addEventListener('abort', end)
  try {
    return await new Promise<StrategyRun>((resolve, reject) => {
      worker.on('message', (message: SimulationMessage) => {
        if (message.kind === 'progress') onProgress(message.progress)
        else if (message.kind === 'done') resolve(message.run)
        else reject(new SimulationEndedError(message.reason))
      })
      worker.on('error', reject)
      worker.on('exit', (code, name) =>
        reject(
          signal.aborted
            ? signal.reason
            : new SimulationEndedError(`the process ended with ${name ?? `code ${code}`}`),
        ),
      )
      worker.send(job)
    })
  } finally {
    signal.removeEventListener('abort', end)
    process.off('exit', end)
    end()
  }
}
