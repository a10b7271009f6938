/** One place for how the command line talks HTTP: its time limits, its connections, and what it makes of a refusal. */
import { Agent, type Dispatcher, request } from 'undici'
import { RegistryAnswerError } from './errors.ts'

/**
 * A registry that has all bytes of a large layer may still have to make them safe before it answers. A seeder waits for its store
 * for 15 minutes, and then says so.
 */
export const HEADERS_TIMEOUT_MS = 16 * 60_000
/** Longer than the 20 s after which an agent gives up by itself: its own error says more than ours. */
const BODY_TIMEOUT_MS = 120_000
const ERROR_BODY_BYTES_MAX = 16_384

export type Method = 'HEAD' | 'GET' | 'POST' | 'PUT'
export type Call = Omit<NonNullable<Parameters<typeof request>[1]>, 'method' | 'opaque'>
export type Answer = Awaited<ReturnType<typeof request>>

/** Connections to any number of registries; `close` when done. */
export function openConnections(): Dispatcher {
  return new Agent({
    headersTimeout: HEADERS_TIMEOUT_MS,
    bodyTimeout: BODY_TIMEOUT_MS,
    connect: { timeout: 10_000 },
  })
}

/** @throws RegistryAnswerError when the status is none of `statuses`; the body has been read then */
export async function call(
  method: Method,
  url: string,
  statuses: readonly number[],
  options: Call,
): Promise<Answer> {
  const response = await request(url, { ...options, method })
  if (statuses.includes(response.statusCode)) return response
  throw new RegistryAnswerError(method, url, response.statusCode, await beginningOf(response))
}

export function header(response: Answer, name: string): string | undefined {
  const value = response.headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** @returns undefined when the body is longer than `bytesMax`, of which no more is read */
export async function readShortBody(response: Answer, bytesMax: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    if (sizeBytes > bytesMax) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

async function beginningOf(response: Answer): Promise<string> {
  const body = await readShortBody(response, ERROR_BODY_BYTES_MAX)
  return body?.toString() ?? 'a body too long to show'
}
