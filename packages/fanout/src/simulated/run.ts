/** Runs the strategies one after the other and shows what came of it. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  boundSeconds,
  imageBytes,
  type Scenario,
  type StrategyName,
  type StrategyRun,
} from '@shoal/simulator'
import { SingleBar } from 'cli-progress'
import { picturesOf } from '../report/pictures.ts'
import { tableOf } from '../report/table.ts'
import { type FanoutRun, reportOf } from '../result.ts'
import { SimulationBrokenError } from './errors.ts'
import { simulateApart } from './simulation-process.ts'

export interface SimulationRequest {
  readonly title: string
  readonly scenario: Scenario
  readonly strategies: readonly StrategyName[]
  readonly json: boolean
  /** Where pictures go. */
  readonly svg: string | undefined
  /** The command line that repeats it. */
  readonly repeat: string
}

const LINE_MS = 5_000

/** @throws SimulationBrokenError, or the signal's reason */
export async function runSimulation(request: SimulationRequest, signal: AbortSignal): Promise<void> {
  const { scenario, strategies, json, svg, title } = request
  const runs: StrategyRun[] = []
  for (const strategy of strategies) {
    const shown = showProgress(strategy, scenario.nodes)
    try {
      runs.push(
        await simulateApart(
          { scenario, strategy },
          (progress) => shown.update(progress.receivedShare, progress.completedNodes),
          signal,
        ),
      )
    } catch (error) {
      signal.throwIfAborted()
      throw new SimulationBrokenError((error as Error).message, request.repeat)
    } finally {
      shown.stop()
    }
  }
  const run: FanoutRun = {
    nodes: scenario.nodes,
    imageBytes: imageBytes(scenario),
    boundSeconds: boundSeconds(scenario),
    seed: scenario.seed,
    runs,
  }
  if (svg !== undefined) {
    await mkdir(svg, { recursive: true })
    for (const [name, text] of picturesOf(run, `${title}, seed ${scenario.seed}`))
      await writeFile(join(svg, name), text)
  }
  if (!json) console.log(tableOf(run))
  console.log(JSON.stringify(reportOf(run)))
}

/** A bar where a person watches, a line now and then where a log does. */
function showProgress(strategy: string, nodes: number) {
  const stream = process.stderr
  if (!stream.isTTY) {
    let toldAtMs = performance.now()
    return {
      update(share: number, completed: number) {
        if (performance.now() - toldAtMs < LINE_MS) return
        toldAtMs = performance.now()
        stream.write(`${strategy}: ${Math.floor(share * 100)} %, ${completed} of ${nodes} nodes done\n`)
      },
      stop() {},
    }
  }
  const bar = new SingleBar({
    stream,
    format: ` ${strategy.padEnd(8)} {bar} {percentage} %  {completed} of ${nodes} nodes done`,
    hideCursor: true,
    clearOnComplete: true,
  })
  bar.start(100, 0, { completed: 0 })
  return {
    update: (share: number, completed: number) => bar.update(Math.min(100, share * 100), { completed }),
    stop: () => bar.stop(),
  }
}
