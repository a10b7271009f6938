/** One request of whoever pushes or pulls an image, and what is made of a refusal. */
import { type HttpAnswer, HttpClient, type HttpRequest, readShortBody } from '@shoal/service'
import { RegistryAnswerError } from './errors.ts'

/**
 * A registry that has all bytes of a large layer may still have to make them safe before it answers. A seeder waits for its store
 * for 15 minutes, and then says so.
 */
export const HEADERS_TIMEOUT_MS = 16 * 60_000
/** Longer than the 20 s after which an agent gives up by itself: its own error says more than ours. */
const BODY_IDLE_TIMEOUT_MS = 120_000
const CONNECT_TIMEOUT_MS = 10_000
const ERROR_BODY_BYTES_MAX = 16_384

export type Method = 'HEAD' | 'GET' | 'POST' | 'PUT'

/** To any number of registries; `close` when done. */
export function openConnections(): HttpClient {
  return new HttpClient({
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    headersTimeoutMs: HEADERS_TIMEOUT_MS,
    bodyIdleTimeoutMs: BODY_IDLE_TIMEOUT_MS,
  })
}

/** @throws RegistryAnswerError when the status is none of `statuses`; the body has been read then */
export async function call(
  method: Method,
  url: string,
  statuses: readonly number[],
  { client, ...request }: Omit<HttpRequest, 'method'> & { readonly client: HttpClient },
): Promise<HttpAnswer> {
  const answer = await client.request(url, { ...request, method })
  if (statuses.includes(answer.status)) return answer
  const body = await readShortBody(answer, ERROR_BODY_BYTES_MAX)
  throw new RegistryAnswerError(method, url, answer.status, body?.toString() ?? 'a body too long to show')
}
