/**
 * Looks what answers where the seeder should: one short question on a connection of its own, so that it waits behind nothing.
 * Never rejects.
 */
import { HttpAgent, request } from './http-client.ts'
import type { SeederSight } from './seeder-health.ts'

const CONNECT_TIMEOUT_MS = 1_000
/** A seeder with all hands full answers within half a second. */
export const PROBE_TIMEOUT_MS = 1_400
/** Timers of a process that has something to do are late by less. */
const HELD_UP_MS = 250
const ANSWER_BYTES_MAX = 4_096

export class SeederProbe {
  readonly #url: URL
  readonly #connections = new HttpAgent({
    connections: 1,
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: PROBE_TIMEOUT_MS,
    bodyTimeout: PROBE_TIMEOUT_MS,
  })

  constructor(seederUrl: string) {
    this.#url = new URL('/readyz', seederUrl)
  }

  async stop(): Promise<void> {
    await this.#connections.destroy()
  }

  async look(): Promise<SeederSight> {
    const begunAtMs = performance.now()
    const sight = await this.#ask()
    // This process itself was held up, so that its time was over before it could hear the answer.
    const wasHeldUp = performance.now() - begunAtMs > PROBE_TIMEOUT_MS + HELD_UP_MS
    return sight.kind === 'unreachable' && wasHeldUp ? this.#ask() : sight
  }

  async #ask(): Promise<SeederSight> {
    try {
      const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS)
      const answer = await request(this.#url, { dispatcher: this.#connections, signal })
      let said = ''
      for await (const part of answer.body) {
        said += String(part)
        // Leaving the loop closes the connection: what says so much is no seeder.
        if (said.length > ANSWER_BYTES_MAX) break
      }
      return sightOf(answer.statusCode, said)
    } catch (error) {
      return { kind: 'unreachable', reason: reasonOf(error) }
    }
  }
}

/** What an answer to `/readyz` says of who gave it. A seeder that is not ready is one nevertheless. */
function sightOf(status: number, body: string): SeederSight {
  const said = objectIn(body)
  if (said?.service === 'agent')
    return { kind: 'stranger', reason: 'an agent answers there, and it must be the seeder' }
  // Seeders of earlier versions do not say what they are.
  if (said?.service === 'seeder' || (status === 200 && said?.status === 'ready')) return { kind: 'seeder' }
  return { kind: 'stranger', reason: `what answers there is no seeder (HTTP ${status})` }
}

/** Why a question failed, in words for whoever has to mend it. */
function reasonOf(error: unknown): string {
  const code = codeOf(error)
  if (code.startsWith('HPE_')) return 'what it says is not HTTP; is it the port for peers, or one for https?'
  if (code.startsWith('ERR_SSL') || code === 'EPROTO')
    return 'it does not speak TLS as https does; is it plain http?'
  if (/CERT|ISSUER|SIGNATURE/.test(code)) return `its certificate is not accepted (${code})`
  return REASONS[code] ?? (code === '' ? 'it does not answer in time' : `it does not answer (${code})`)
}

const CLOSED = 'it closed the connection without an answer; is it the port for peers, or one for https?'
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOTFOUND: 'its name does not resolve',
  EAI_AGAIN: 'its name does not resolve now',
  EHOSTUNREACH: 'no way leads to its address',
  ENETUNREACH: 'no way leads to its network',
  ETIMEDOUT: 'its address does not answer in time',
  UND_ERR_CONNECT_TIMEOUT: 'its address does not answer in time',
  UND_ERR_HEADERS_TIMEOUT: 'it does not answer in time',
  UND_ERR_BODY_TIMEOUT: 'it does not answer in time',
  UND_ERR_SOCKET: CLOSED,
  ECONNRESET: CLOSED,
}

/** The system's word, of the first of several attempts; empty where time was up. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return ''
  if ('code' in error && typeof error.code === 'string') return error.code
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  return error.cause === undefined ? '' : codeOf(error.cause)
}

function objectIn(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
