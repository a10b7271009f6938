/** The first signal ends a command in order, the second at once. */
import { constants } from 'node:os'
import { ShoalError } from '@shoal/core'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export interface Interruptions {
  readonly signal: AbortSignal
  /** The signal that came, if one did. */
  name(): NodeJS.Signals | undefined
}

/** Somebody ended a command with a signal. */
class InterruptedError extends ShoalError {
  readonly code = 'CLI_INTERRUPTED'
  constructor(signalName: NodeJS.Signals) {
    super(`interrupted by ${signalName}`)
  }
}

/** @param reason what the signal aborts with */
export function interruptions(
  reason: (signalName: NodeJS.Signals) => Error = (signalName) => new InterruptedError(signalName),
): Interruptions {
  const stop = new AbortController()
  let interruptedBy: NodeJS.Signals | undefined
  for (const signalName of SIGNALS) {
    process.on(signalName, () => {
      // What is left then ends with the process, by force.
      if (interruptedBy !== undefined) process.exit(statusOf(signalName))
      interruptedBy = signalName
      stop.abort(reason(signalName))
    })
  }
  return { signal: stop.signal, name: () => interruptedBy }
}

/** As shells count. */
export function statusOf(signalName: NodeJS.Signals): number {
  return 128 + constants.signals[signalName]
}
