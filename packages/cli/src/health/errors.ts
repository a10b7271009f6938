import { UsageError } from '@shoal/core'

export class ListenUnusableError extends UsageError {
  readonly code = 'CLI_HEALTH_LISTEN'
  constructor(listen: string, source: string) {
    super(`${source} is ${JSON.stringify(listen)}; a health check needs host:port with the port that is used`)
  }
}

export class NotReadyError extends UsageError {
  readonly code = 'CLI_HEALTH_NOT_READY'
  readonly reasons: readonly string[]

  /** @param reasons one for each address that was asked */
  constructor(reasons: readonly string[]) {
    super(reasons.join('; '))
    this.reasons = reasons
  }
}
