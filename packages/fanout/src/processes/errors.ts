/** What ends a run of several services, in the demo and in live fan-outs alike. Each of the two has codes of its own. */
import { ShoalError } from '@shoal/core'

export abstract class RunInterruptedError extends ShoalError {
  readonly signalName: string

  constructor(signalName: string) {
    super(`interrupted by ${signalName}`)
    this.signalName = signalName
  }
}

export abstract class RunTimeoutError extends ShoalError {
  readonly doing: string
  readonly limitMs: number

  constructor(doing: string, limitMs: number) {
    super(`${doing} took longer than ${Math.round(limitMs / 1000)} s`)
    this.doing = doing
    this.limitMs = limitMs
  }
}

/** A folder has too little room for the run. */
export abstract class RunRoomError extends ShoalError {
  readonly folder: string
  readonly neededBytes: number
  readonly freeBytes: number

  /** @param countFlag the flag that makes the run smaller: `--agents` */
  constructor(folder: string, neededBytes: number, freeBytes: number, countFlag: string) {
    const mb = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`
    super(
      `${folder} has ${mb(freeBytes)} free and ${mb(neededBytes)} are needed; ask for fewer ${countFlag} or a smaller --image-size, or point TMPDIR elsewhere`,
    )
    this.folder = folder
    this.neededBytes = neededBytes
    this.freeBytes = freeBytes
  }
}
