/** Shoal's own services as processes, run from dist/ as a person runs them (`npm test` builds it first). */
import { fileURLToPath } from 'node:url'
import { jsonEvent, type ProcessOptions, parseLine, type RunningProcess, startProcess } from './process.ts'

export interface ShoalProcess extends RunningProcess {
  /** The fields of the log line that said `"event":"ready"`. */
  readonly ready: Readonly<Record<string, unknown>>
}

export const BIN = fileURLToPath(new URL('../../packages/cli/bin/shoal.js', import.meta.url))
/** As in the first line of bin/shoal.js. */
export const SHOAL_NODE_FLAGS = ['--max-semi-space-size=1', '--v8-pool-size=1']
const READY_TIMEOUT_MS = 30_000

/**
 * Starts `shoal <args>`, say `['seeder', '--listen', …]`, and waits until it serves.
 * @param bin of another checkout, to compare with
 * @throws ProcessEndedError or ProcessTimeoutError with its last lines; it is stopped then
 */
export async function startShoal(
  args: readonly string[],
  options?: ProcessOptions,
  bin = BIN,
): Promise<ShoalProcess> {
  const running = startProcess(process.execPath, [...SHOAL_NODE_FLAGS, bin, ...args], options)
  try {
    const ready = parseLine(await running.waitForLine(jsonEvent('ready'), READY_TIMEOUT_MS)) ?? {}
    // Not a copy: `hasExited` is a getter.
    return Object.assign(running, { ready })
  } catch (error) {
    await running.stop()
    throw error
  }
}
