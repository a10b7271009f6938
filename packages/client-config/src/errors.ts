import { ShoalError, UsageError } from '@shoal/core'

/** What was asked for cannot be meant. */
export class ClientWishError extends UsageError {
  readonly code = 'CLI_CLIENT_WISH'
}

/** What keeps the command from doing anything at all; a single file's trouble is a line of its report. */
export abstract class ClientConfigError extends ShoalError {}

export class ClientRootError extends ClientConfigError {
  readonly code = 'CLI_CLIENT_ROOT'
  readonly root: string

  constructor(root: string, reason: string) {
    super(
      `${root} is not where a host’s file system is: ${reason}; name the folder that has its etc and var/lib`,
    )
    this.root = root
  }
}

/** Somebody else’s run holds the lock. */
export class ClientConfigBusyError extends ClientConfigError {
  readonly code = 'CLI_CLIENT_BUSY'
  readonly lockPath: string
  readonly waitedMs: number

  constructor(lockPath: string, waitedMs: number) {
    super(
      `another run holds ${lockPath} for ${waitedMs / 1_000} s now; wait until it has ended, and run this again`,
    )
    this.lockPath = lockPath
    this.waitedMs = waitedMs
  }
}

/** The record of what was installed is not one: without it nothing can be told from what somebody else wrote. */
export class ClientRecordError extends ClientConfigError {
  readonly code = 'CLI_CLIENT_RECORD'
  readonly path: string

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(
      `${path} cannot be used: ${reason}; restore it, or take Shoal’s lines out of the clients’ files by hand and delete its folder`,
      options,
    )
    this.path = path
  }
}

/** One file or folder of the host that cannot be read or written. */
export class HostFileError extends ClientConfigError {
  readonly code = 'CLI_CLIENT_HOST_FILE'
  readonly path: string
  readonly reason: string

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`${path}: ${reason}`, options)
    this.path = path
    this.reason = reason
  }
}

/** A client whose configuration is such that nothing can be installed for it. */
export class RuntimeRefusedError extends ClientConfigError {
  readonly code = 'CLI_CLIENT_REFUSED'
  readonly path: string
  readonly reason: string

  constructor(path: string, reason: string) {
    super(`${path}: ${reason}`)
    this.path = path
    this.reason = reason
  }
}
