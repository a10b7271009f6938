import { ShoalError } from '@shoal/core'

/** Why a live fan-out could not be measured. */
export abstract class LiveFanoutError extends ShoalError {}

export class LiveInterruptedError extends LiveFanoutError {
  readonly code = 'LIVE_INTERRUPTED'
  readonly signalName: string

  constructor(signalName: string) {
    super(`interrupted by ${signalName}`)
    this.signalName = signalName
  }
}

/** A child ended that should have gone on. */
export class LiveChildError extends LiveFanoutError {
  readonly code = 'LIVE_CHILD_ENDED'
  readonly child: string

  constructor(child: string, how: string, lastLines: readonly string[]) {
    super(
      `${child} ended ${how}${lastLines.length === 0 ? '' : `; its last lines:\n  ${lastLines.join('\n  ')}`}`,
    )
    this.child = child
  }
}

/** A child goes on and could not do what it was asked for. */
export class LiveTaskError extends LiveFanoutError {
  readonly code = 'LIVE_TASK_FAILED'
  readonly child: string
  readonly task: string

  constructor(child: string, task: string, reason: string) {
    super(`${child} could not ${task}: ${reason}`)
    this.child = child
    this.task = task
  }
}

export class LiveTimeoutError extends LiveFanoutError {
  readonly code = 'LIVE_TIMEOUT'
  readonly doing: string
  readonly limitMs: number

  constructor(doing: string, limitMs: number) {
    super(`${doing} took longer than ${Math.round(limitMs / 1000)} s`)
    this.doing = doing
    this.limitMs = limitMs
  }
}

export class LiveRoomError extends LiveFanoutError {
  readonly code = 'LIVE_ROOM'
  readonly folder: string
  readonly neededBytes: number
  readonly freeBytes: number

  constructor(folder: string, neededBytes: number, freeBytes: number) {
    const mb = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`
    super(
      `${folder} has ${mb(freeBytes)} free and ${mb(neededBytes)} are needed; ask for fewer --nodes or a smaller --image-size, or point TMPDIR elsewhere`,
    )
    this.folder = folder
    this.neededBytes = neededBytes
    this.freeBytes = freeBytes
  }
}

/** Network namespaces cannot be made here. */
export class NamespacesUnavailableError extends LiveFanoutError {
  readonly code = 'LIVE_NAMESPACES_UNAVAILABLE'
  readonly reason: string

  constructor(reason: string) {
    super(
      `--isolation netns cannot be used here: ${reason}. It needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN, iproute2 and util-linux; --isolation process needs none of them`,
    )
    this.reason = reason
  }
}
