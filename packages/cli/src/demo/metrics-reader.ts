/** Reads counters from a service's `/metrics` (Prometheus text format). */
import { request } from 'undici'
import { DemoError } from './errors.ts'

/** The sum of a metric's samples that have these labels. */
export type Samples = (metric: string, labels?: Readonly<Record<string, string>>) => number

export async function readMetrics(serviceUrl: string): Promise<Samples> {
  const answer = await request(new URL('/metrics', serviceUrl), {
    headersTimeout: 10_000,
    bodyTimeout: 10_000,
  })
  const text = await answer.body.text()
  if (answer.statusCode !== 200) throw new DemoError(`${serviceUrl}/metrics answered ${answer.statusCode}`)
  return parseMetrics(text)
}

export function parseMetrics(text: string): Samples {
  const samples = [...text.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/gm)].map(
    ([, metric, labels, value]) => ({
      metric,
      labels: new Map([...(labels ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key, label]) => [key, label])),
      value: Number(value),
    }),
  )
  return (metric, labels = {}) =>
    samples
      .filter((sample) => sample.metric === metric)
      .filter((sample) => Object.entries(labels).every(([key, label]) => sample.labels.get(key) === label))
      .reduce((sum, { value }) => sum + value, 0)
}
