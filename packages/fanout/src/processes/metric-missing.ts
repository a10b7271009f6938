import { ShoalError } from '@shoal/core'

/** A service does not show a metric that is asked for. */
export class MetricMissingError extends ShoalError {
  readonly code = 'DEMO_METRIC'
  constructor(
    readonly url: string,
    readonly metric: string,
  ) {
    super(`${url} does not show ${metric}`)
  }
}
