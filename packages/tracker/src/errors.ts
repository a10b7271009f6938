import { ShoalError } from '@shoal/core'

/** An address asks for one swarm after another that does not exist. */
export class TooManyUnknownError extends ShoalError {
  readonly code = 'TRACKER_TOO_MANY_UNKNOWN'
  readonly ip: string

  constructor(ip: string) {
    super('too much was asked for that is not there')
    this.ip = ip
  }
}
