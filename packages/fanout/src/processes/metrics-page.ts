/** Reads counters from a service's `/metrics`. Prometheus text format 0.0.4: `name{label="value"} number`. */

import { call } from '@shoal/registry-client'
import { type HttpClient, readShortBody } from '@shoal/service'
import { MetricMissingError } from './metric-missing.ts'

const PAGE_BYTES_MAX = 4 * 1024 ** 2

export class MetricsPage {
  readonly url: string
  readonly text: string

  constructor(url: string, text: string) {
    this.url = url
    this.text = text
  }

  /**
   * The sum of all series of a counter that have these labels.
   * @throws MetricMissingError when the page has none
   */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    const values = this.text
      .split('\n')
      .map((line) => /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line))
      .filter((match) => match?.[1] === name)
      .filter((match) => wanted.every((pair) => `,${match![2] ?? ''}`.includes(`,${pair}`)))
      .map((match) => Number(match![3]))
    if (values.length === 0) throw new MetricMissingError(this.url, `${name}{${wanted.join(',')}}`)
    return values.reduce((sum, value) => sum + value, 0)
  }
}

export async function readMetrics(
  serviceUrl: string,
  { client, signal }: { client: HttpClient; signal: AbortSignal },
): Promise<MetricsPage> {
  const url = `${serviceUrl}/metrics`
  const response = await call('GET', url, [200], { client, signal })
  const body = await readShortBody(response, PAGE_BYTES_MAX)
  return new MetricsPage(url, body?.toString() ?? '')
}
