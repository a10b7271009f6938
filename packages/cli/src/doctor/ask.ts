/** One short question by HTTP, bounded in time and bytes. */

import { ShoalError } from '@shoal/core'
import { HttpClient, readShortBody } from '@shoal/service'
import type { FoundAddress } from './apart.ts'

export interface Asked {
  readonly status: number
  readonly body: Buffer
  readonly date: string | undefined
  readonly sentAtMs: number
  readonly receivedAtMs: number
  readonly tookMs: number
}

export interface AskInit {
  readonly method?: 'GET' | 'POST'
  readonly accept?: string
  readonly timeoutMs: number
  readonly bytesMax?: number
  /** Kept alive between questions; closed by whoever made it. */
  readonly connections: HttpClient
}

const BODY_BYTES_MAX = 64 * 1024
/** Every question has a limit of its own, which is shorter. */
const CONNECT_TIMEOUT_MS = 10_000

class AnswerTooLongError extends ShoalError {
  readonly code = 'TOO_LONG'
  constructor(bytesMax: number) {
    super(`the answer is longer than ${bytesMax} bytes; ask something else that listens there`)
  }
}

/** @param addresses where its host is, found before: Node would ask the resolver again, without a limit of ours */
export function connectionsTo(addresses?: readonly FoundAddress[]): HttpClient {
  const limits = { connectTimeoutMs: CONNECT_TIMEOUT_MS, headersTimeoutMs: 0, bodyIdleTimeoutMs: 0 }
  if (addresses === undefined) return new HttpClient(limits)
  return new HttpClient({
    ...limits,
    lookup: (_host, options, found) => {
      const [first] = addresses
      if (options.all === true) found(null, [...addresses])
      else found(null, first!.address, first!.family)
    },
  })
}

/** @throws whatever the connection met; its word is given by `problemOf` */
export async function ask(url: string | URL, init: AskInit): Promise<Asked> {
  const { method = 'GET', accept = '*/*', timeoutMs, bytesMax = BODY_BYTES_MAX, connections } = init
  const signal = AbortSignal.timeout(timeoutMs)
  const startedAt = performance.now()
  const sentAtMs = Date.now()
  const response = await connections.request(url, { method, signal, headers: { accept } })
  const receivedAtMs = Date.now()
  const body = await readShortBody(response, bytesMax)
  if (body === undefined) throw new AnswerTooLongError(bytesMax)
  return {
    status: response.status,
    body,
    date: response.header('date'),
    sentAtMs,
    receivedAtMs,
    tookMs: performance.now() - startedAt,
  }
}

/** The system's word, or one of Shoal's: `ECONNREFUSED`, `TIMEOUT`. */
export function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return 'UNKNOWN'
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return 'TIMEOUT'
  if (error instanceof AggregateError) return problemOf(error.errors[0])
  const { code } = error as NodeJS.ErrnoException
  if (code === 'HTTP_CONNECT_TIMEOUT') return 'TIMEOUT'
  if (code?.startsWith('HPE_')) return 'NO_HTTP'
  if (code !== undefined) return code
  return error.cause === undefined ? 'UNKNOWN' : problemOf(error.cause)
}

/** JSON of somebody else; undefined where it is none. */
export function jsonOf(body: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString())
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
