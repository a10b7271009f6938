import { ShoalError } from '@shoal/core'
import { RunInterruptedError, RunRoomError, RunTimeoutError } from '../processes/errors.ts'

/** Why a live fan-out could not be measured. */
abstract class LiveFanoutError extends ShoalError {}

export class LiveInterruptedError extends RunInterruptedError {
  readonly code = 'LIVE_INTERRUPTED'
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

export class LiveTimeoutError extends RunTimeoutError {
  readonly code = 'LIVE_TIMEOUT'
}

export class LiveRoomError extends RunRoomError {
  readonly code = 'LIVE_ROOM'

  constructor(folder: string, neededBytes: number, freeBytes: number) {
    super(folder, neededBytes, freeBytes, '--nodes')
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
