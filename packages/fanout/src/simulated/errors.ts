import { ShoalError } from '@shoal/core'

/** What was asked of `shoal fanout` and cannot be done. */
abstract class FanoutError extends ShoalError {}

export class FanoutOptionError extends FanoutError {
  readonly code = 'FANOUT_OPTION'
  constructor(option: string, reason: string, options?: ErrorOptions) {
    super(`${option}: ${reason}`, options)
  }
}

/** A checker found what must not be: a bug, which the seed repeats. */
export class SimulationBrokenError extends FanoutError {
  readonly code = 'FANOUT_SIMULATION_BROKEN'
  constructor(reason: string, repeat: string) {
    super(`the simulation broke a promise: ${reason}\nrepeat it with: ${repeat}`)
  }
}

/** The process that simulates failed, or was ended by somebody else. */
export class SimulationEndedError extends FanoutError {
  readonly code = 'FANOUT_SIMULATION_ENDED'
}
