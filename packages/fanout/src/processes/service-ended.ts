import { ShoalError } from '@shoal/core'

/** A service that was started as a child process ended by itself. */
export class ServiceEndedError extends ShoalError {
  readonly code = 'DEMO_SERVICE_ENDED'
  readonly service: string

  constructor(service: string, how: string, lastLines: readonly string[]) {
    super(
      `${service} ended ${how}${lastLines.length === 0 ? '' : `; its last lines:\n  ${lastLines.join('\n  ')}`}`,
    )
    this.service = service
  }
}
