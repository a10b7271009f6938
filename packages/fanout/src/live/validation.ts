/** Whether the simulator tells the truth: one scenario by both, and how far they are from each other. */
import { DEFAULT_SCENARIO, type Scenario, type StrategyRun } from '@shoal/simulator'
import { type FanoutRun, quantile } from '../result.ts'
import { simulateApart } from '../simulated/simulation-process.ts'
import { type LiveFanoutOptions, runLiveFanout } from './run.ts'

/** Of the simulated time, either way. */
export const DIFFERENCE_MAX = 0.15

export interface Difference {
  readonly of: 'p50' | 'last'
  /** Live ÷ simulated − 1; Infinity where somebody did not finish. */
  readonly difference: number
}

/** @returns undefined when the live part failed; it has said why */
export async function runBoth(
  options: LiveFanoutOptions,
  err: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<FanoutRun | undefined> {
  err.write('Simulating …\n')
  let simulated: StrategyRun
  try {
    simulated = await simulateApart({ scenario: scenarioOf(options), strategy: 'shoal' }, () => {}, signal)
  } catch (error) {
    err.write(`The simulation failed: ${error instanceof Error ? error.message : String(error)}\n`)
    return undefined
  }
  const live = await runLiveFanout(options, err, signal)
  if (live === undefined) return undefined
  const [measured] = live.runs
  return {
    ...live,
    runs: [
      { ...simulated, strategy: 'simulated' },
      { ...measured!, strategy: 'live' },
    ],
  }
}

export function differencesOf({ runs: [simulated, live] }: FanoutRun): Difference[] {
  const differ = (share: number) => {
    const [expected, found] = [simulated, live].map((run) =>
      run === undefined || run.unfinished > 0 ? null : quantile(run.finishSeconds, share),
    )
    return expected == null || found == null ? Number.POSITIVE_INFINITY : found / expected - 1
  }
  return [
    { of: 'p50', difference: differ(0.5) },
    { of: 'last', difference: differ(1) },
  ]
}

/** The seeder has nothing yet, and its origin is a folder of this machine. */
function scenarioOf(options: LiveFanoutOptions): Scenario {
  return {
    ...DEFAULT_SCENARIO,
    nodes: options.nodes,
    layers: options.layerBytes,
    linkBytesPerSecond: options.linkBytesPerSecond,
    seederLinkBytesPerSecond: options.linkBytesPerSecond,
    coldOrigin: true,
    originLatencyMs: 1,
    seed: options.seed,
  }
}
