import { CliError } from '../settings/errors.ts'

export class ListenUnusableError extends CliError {
  readonly code = 'CLI_HEALTH_LISTEN'
  constructor(listen: string, source: string) {
    super(`${source} is ${JSON.stringify(listen)}; a health check needs host:port with the port that is used`)
  }
}

export class NotReadyError extends CliError {
  readonly code = 'CLI_HEALTH_NOT_READY'
  /** @param reasons one for each address that was asked */
  constructor(readonly reasons: readonly string[]) {
    super(reasons.join('; '))
  }
}
