import { ShoalError } from '@shoal/core'

/** Why the demo could not show what it is there to show. */
export abstract class DemoError extends ShoalError {}

export class DemoTimeoutError extends DemoError {
  readonly code = 'DEMO_TIMEOUT'
  constructor(
    readonly doing: string,
    readonly limitMs: number,
  ) {
    super(`${doing} took longer than ${Math.round(limitMs / 1000)} s`)
  }
}

export class DemoInterruptedError extends DemoError {
  readonly code = 'DEMO_INTERRUPTED'
  constructor(readonly signalName: string) {
    super(`interrupted by ${signalName}`)
  }
}

export class DemoRoomError extends DemoError {
  readonly code = 'DEMO_ROOM'
  constructor(
    readonly folder: string,
    readonly neededBytes: number,
    readonly freeBytes: number,
  ) {
    const mb = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`
    super(
      `${folder} has ${mb(freeBytes)} free and ${mb(neededBytes)} are needed; ask for fewer --agents or a smaller --image-size, or point TMPDIR elsewhere`,
    )
  }
}

/** An agent gave an image, and not the one that was pushed. */
export class DemoImageError extends DemoError {
  readonly code = 'DEMO_IMAGE'
  constructor(agent: string, expected: string, actual: string) {
    super(`${agent} gave ${actual} where ${expected} was pushed`)
  }
}
