import { ShoalError } from '@shoal/core'

/** Why a live fan-out could not be measured. */
export abstract class LiveFanoutError extends ShoalError {}

export class LiveInterruptedError extends LiveFanoutError {
  readonly code = 'LIVE_INTERRUPTED'
  constructor(readonly signalName: string) {
    super(`interrupted by ${signalName}`)
  }
}

/** A child ended that should have gone on. */
export class LiveChildError extends LiveFanoutError {
  readonly code = 'LIVE_CHILD_ENDED'
  constructor(
    readonly child: string,
    how: string,
    lastLines: readonly string[],
  ) {
    super(
      `${child} ended ${how}${lastLines.length === 0 ? '' : `; its last lines:\n  ${lastLines.join('\n  ')}`}`,
    )
  }
}

/** A child goes on and could not do what it was asked for. */
export class LiveTaskError extends LiveFanoutError {
  readonly code = 'LIVE_TASK_FAILED'
  constructor(
    readonly child: string,
    readonly task: string,
    reason: string,
  ) {
    super(`${child} could not ${task}: ${reason}`)
  }
}

export class LiveTimeoutError extends LiveFanoutError {
  readonly code = 'LIVE_TIMEOUT'
  constructor(
    readonly doing: string,
    readonly limitMs: number,
  ) {
    super(`${doing} took longer than ${Math.round(limitMs / 1000)} s`)
  }
}

export class LiveRoomError extends LiveFanoutError {
  readonly code = 'LIVE_ROOM'
  constructor(
    readonly folder: string,
    readonly neededBytes: number,
    readonly freeBytes: number,
  ) {
    const mb = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`
    super(
      `${folder} has ${mb(freeBytes)} free and ${mb(neededBytes)} are needed; ask for fewer --nodes or a smaller --image-size, or point TMPDIR elsewhere`,
    )
  }
}

/** Network namespaces cannot be made here. */
export class NamespacesUnavailableError extends LiveFanoutError {
  readonly code = 'LIVE_NAMESPACES_UNAVAILABLE'
  constructor(readonly reason: string) {
    super(
      `--isolation netns cannot be used here: ${reason}. It needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN, iproute2 and util-linux; --isolation process needs none of them`,
    )
  }
}
