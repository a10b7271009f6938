import { ShoalError } from '@shoal/core'
import { RunInterruptedError, RunRoomError, RunTimeoutError } from '@shoal/fanout/processes'

/** Why the demo could not show what it is there to show. */
export class DemoTimeoutError extends RunTimeoutError {
  readonly code = 'DEMO_TIMEOUT'
}

export class DemoInterruptedError extends RunInterruptedError {
  readonly code = 'DEMO_INTERRUPTED'
}

export class DemoRoomError extends RunRoomError {
  readonly code = 'DEMO_ROOM'

  constructor(folder: string, neededBytes: number, freeBytes: number) {
    super(folder, neededBytes, freeBytes, '--agents')
  }
}

/** An agent gave an image, and not the one that was pushed. */
export class DemoImageError extends ShoalError {
  readonly code = 'DEMO_IMAGE'
  constructor(agent: string, expected: string, actual: string) {
    super(`${agent} gave ${actual} where ${expected} was pushed`)
  }
}
