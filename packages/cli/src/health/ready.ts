/** Asks services whether they are ready, within a bound. */
import { get } from 'node:http'
import { NotReadyError } from './errors.ts'

const ANSWER_TIMEOUT_MS = 3_000

/**
 * Asks all of them at once.
 * @returns the first that is ready
 * @throws NotReadyError with a reason for each
 */
export async function firstReady(
  addresses: readonly string[],
  timeoutMs = ANSWER_TIMEOUT_MS,
): Promise<string> {
  const overdue = AbortSignal.timeout(timeoutMs)
  const decided = new AbortController()
  const signal = AbortSignal.any([overdue, decided.signal])
  const ask = async (address: string) => {
    const status = await statusOf(`http://${address}/readyz`, signal).catch((error: Error) => {
      const reason = overdue.aborted ? `no answer within ${timeoutMs} ms` : error.message
      throw new NotReadyError([`${address}: ${reason}`])
    })
    if (status !== 200) throw new NotReadyError([`${address}: /readyz answered with ${status}`])
    return address
  }
  try {
    return await Promise.any(addresses.map(ask))
  } catch (error) {
    const refusals = (error as AggregateError).errors as readonly NotReadyError[]
    throw new NotReadyError(refusals.flatMap(({ reasons }) => reasons))
  } finally {
    // A connection without an answer is closed, and not waited for.
    decided.abort()
  }
}

function statusOf(url: string, signal: AbortSignal): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const request = get(url, { signal, agent: false }, (response) => {
      resolve(response.statusCode)
      // The status is all that counts; what else it sends is not waited for.
      request.destroy()
    })
    request.on('error', reject)
  })
}
