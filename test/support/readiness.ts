/** Waiting for a daemon that does not say when it is ready: asked again and again, within a bound. */
import { setTimeout as delay } from 'node:timers/promises'
import { ProcessEndedError, ProcessTimeoutError, type RunningProcess } from './process.ts'

const PAUSE_MS = 25

/**
 * Asks `probe` until it resolves to true; a rejection counts as "not yet".
 *
 * @throws ProcessEndedError as soon as the daemon has ended; ProcessTimeoutError after `timeoutMs`
 */
export async function untilReady(
  daemon: RunningProcess,
  name: string,
  timeoutMs: number,
  probe: () => Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  while (!(await probe().catch(() => false))) {
    if (daemon.hasExited) throw new ProcessEndedError(name, await daemon.exited, daemon.lines)
    if (performance.now() > deadlineMs) throw new ProcessTimeoutError(name, timeoutMs, daemon.lines)
    await delay(PAUSE_MS)
  }
}

/** @returns whether an HTTP server answers `GET url` with one of `statuses` */
export async function answers(url: string, statuses: readonly number[]): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(2_000) })
  await response.body?.cancel()
  return statuses.includes(response.status)
}
