/** A number from the metrics page of a service. */

/**
 * @param labels of the series that are meant, as they stand on the page: `operation="read"`; all where absent
 * @returns the sum of the series
 */
export async function metric({ url }: { readonly url: string }, name: string, labels = ''): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text()
  const series = [...page.matchAll(/^([a-z_]+)(\{.*\})? (\S+)$/gm)].filter(
    ([, found, labelled = '']) => found === name && labelled.includes(labels),
  )
  if (series.length === 0) throw new Error(`${name} is not on ${url}/metrics`)
  return series.reduce((sum, [, , , value]) => sum + Number(value), 0)
}
