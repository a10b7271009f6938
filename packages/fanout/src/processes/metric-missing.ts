import { ShoalError } from '@shoal/core'

/** A service does not show a metric that is asked for. */
export class MetricMissingError extends ShoalError {
  readonly code = 'DEMO_METRIC'
  readonly url: string
  readonly metric: string

  constructor(url: string, metric: string) {
    super(`${url} does not show ${metric}`)
    this.url = url
    this.metric = metric
  }
}
