import { ShoalError } from '@shoal/core'
/**
 * What has been begun and must be ended: processes, folders, images. Ended in reverse order, each within a time limit;
 * where there is no time for that (`process.exit`, an uncaught error), at once and synchronously.
 */
export interface CleanupStep {
  readonly name: string
  end(): Promise<unknown>
  /** For the end of the process: no promises. */
  endNow?(): void
}

const STEP_TIMEOUT_MS = 20_000

export class Cleanup {
  readonly #steps: CleanupStep[] = []
  readonly #onExit = () => this.#endNow()

  constructor() {
    process.once('exit', this.#onExit)
  }

  add(step: CleanupStep): void {
    this.#steps.push(step)
  }

  /** @returns what could not be ended, in words; safe to call twice */
  async run(): Promise<string[]> {
    const failures: string[] = []
    for (let step = this.#steps.at(-1); step !== undefined; step = this.#steps.at(-1)) {
      try {
        await withinLimit(step.end())
      } catch (error) {
        step.endNow?.()
        failures.push(`${step.name}: ${error instanceof Error ? error.message : String(error)}`)
      }
      // Only now: a second Ctrl-C in between still ends it.
      this.#steps.splice(this.#steps.indexOf(step), 1)
    }
    process.removeListener('exit', this.#onExit)
    return failures
  }

  #endNow(): void {
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        step.endNow?.()
      } catch {
        // The others still want their turn, and nobody is left to be told.
      }
    }
  }
}

class CleanupOverdueError extends ShoalError {
  readonly code = 'FANOUT_CLEANUP_OVERDUE'
  constructor(afterMs: number) {
    super(`not done within ${afterMs / 1000} s`)
  }
}

async function withinLimit(ending: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const overdue = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CleanupOverdueError(STEP_TIMEOUT_MS)), STEP_TIMEOUT_MS)
  })
  try {
    await Promise.race([ending, overdue])
  } finally {
    clearTimeout(timer)
  }
}
