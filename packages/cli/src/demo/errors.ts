import { ShoalError } from '@shoal/core'

/** Why the demo could not show what it is there to show. */
export abstract class DemoError extends ShoalError {}

export class DemoTimeoutError extends DemoError {
  readonly code = 'DEMO_TIMEOUT'
  readonly doing: string
  readonly limitMs: number

  constructor(doing: string, limitMs: number) {
    super(`${doing} took longer than ${Math.round(limitMs / 1000)} s`)
    this.doing = doing
    this.limitMs = limitMs
  }
}

export class DemoInterruptedError extends DemoError {
  readonly code = 'DEMO_INTERRUPTED'
  readonly signalName: string

  constructor(signalName: string) {
    super(`interrupted by ${signalName}`)
    this.signalName = signalName
  }
}

export class DemoRoomError extends DemoError {
  readonly code = 'DEMO_ROOM'
  readonly folder: string
  readonly neededBytes: number
  readonly freeBytes: number

  constructor(folder: string, neededBytes: number, freeBytes: number) {
    const mb = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`
    super(
      `${folder} has ${mb(freeBytes)} free and ${mb(neededBytes)} are needed; ask for fewer --agents or a smaller --image-size, or point TMPDIR elsewhere`,
    )
    this.folder = folder
    this.neededBytes = neededBytes
    this.freeBytes = freeBytes
  }
}

/** An agent gave an image, and not the one that was pushed. */
export class DemoImageError extends DemoError {
  readonly code = 'DEMO_IMAGE'
  constructor(agent: string, expected: string, actual: string) {
    super(`${agent} gave ${actual} where ${expected} was pushed`)
  }
}
