/**
 * Looks what answers where the seeder should: one short question on a connection of its own, so that it waits behind nothing.
 * Never rejects.
 */
import { HttpClient, isTransportFailure, steadyMs } from '@shoal/service'
import { connectionTrouble } from './connection-trouble.ts'
import type { SeederSight } from './seeder-health.ts'

const CONNECT_TIMEOUT_MS = 1_000
/** A seeder with all hands full answers within half a second. */
export const PROBE_TIMEOUT_MS = 1_400
/** Timers of a process that has something to do are late by less. */
const HELD_UP_MS = 250
const ANSWER_BYTES_MAX = 4_096

export class SeederProbe {
  readonly #url: URL
  readonly #client = new HttpClient({
    connectionsMax: 1,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
    headersTimeoutMs: PROBE_TIMEOUT_MS,
    bodyIdleTimeoutMs: PROBE_TIMEOUT_MS,
  })

  constructor(seederUrl: string) {
    this.#url = new URL('/readyz', seederUrl)
  }

  async stop(): Promise<void> {
    await this.#client.close()
  }

  async look(): Promise<SeederSight> {
    const begunAtMs = steadyMs()
    const sight = await this.#ask()
    // This process itself was held up, so that its time was over before it could hear the answer.
    const wasHeldUp = steadyMs() - begunAtMs > PROBE_TIMEOUT_MS + HELD_UP_MS
    return sight.kind === 'unreachable' && wasHeldUp ? this.#ask() : sight
  }

  async #ask(): Promise<SeederSight> {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS)
    try {
      const answer = await this.#client.request(this.#url, { signal })
      let said = ''
      for await (const part of answer.body) {
        said += String(part)
        // Leaving the loop closes the connection: what says so much is no seeder.
        if (said.length > ANSWER_BYTES_MAX) break
      }
      return sightOf(answer.status, said)
    } catch (error) {
      if (!signal.aborted && !isTransportFailure(error)) throw error
      return { kind: 'unreachable', reason: connectionTrouble(error) }
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

function objectIn(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
