/** What answers where the agent should. Asks; decides nothing. Bounded, never throws. */
import { isIP } from 'node:net'
import { formatHostPort, type HostPort, isWildcard } from '@shoal/core'
import type { HttpClient } from '@shoal/service'
import {
  AGENT_ANSWER_BYTES_MAX,
  AGENT_STATUS_PATH,
  type AgentStatus,
  ControlMessageInvalidError,
  decodeAgentStatus,
} from '@shoal/wire'
import { lookUpApart } from './apart.ts'
import { type Asked, ask, jsonOf, problemOf } from './ask.ts'

const TIMEOUT_MS = 2_000
const LOOKUP_TIMEOUT_MS = 2_000

export type AgentSight =
  /** Its host is a name that is none. */
  | { readonly kind: 'unresolved'; readonly url: string; readonly problem: string }
  | { readonly kind: 'answered'; readonly url: string; readonly status: AgentStatus; readonly tookMs: number }
  /** Nothing has the port. */
  | { readonly kind: 'closed'; readonly url: string }
  /** An agent that takes us for a stranger. */
  | { readonly kind: 'refused'; readonly url: string }
  /** A service of Shoal, but no agent that knows this question. */
  | { readonly kind: 'other'; readonly url: string; readonly service: 'seeder' | 'older' }
  /** Something else has the port, or the agent hangs. */
  | { readonly kind: 'stranger'; readonly url: string; readonly problem: string }

/** Where a program on this node finds what listens there. */
export function localAddress({ host, port }: HostPort): HostPort {
  if (!isWildcard(host)) return { host, port }
  return { host: host === '::' ? '::1' : '127.0.0.1', port }
}

/** The same as a number: to look a name up may take long, which must not happen in this process. */
export async function numericAddress(listen: HostPort): Promise<HostPort | { readonly problem: string }> {
  const { host, port } = localAddress(listen)
  if (isIP(host) !== 0 || host === 'localhost') return { host, port }
  const found = await lookUpApart(host, LOOKUP_TIMEOUT_MS)
  if ('problem' in found) return found
  const [first] = found.addresses
  return first === undefined ? { problem: 'ENOTFOUND' } : { host: first.address, port }
}

export async function lookAtAgent(listen: HostPort, connections: HttpClient): Promise<AgentSight> {
  const address = await numericAddress(listen)
  if ('problem' in address)
    return { kind: 'unresolved', url: formatHostPort(listen), problem: address.problem }
  const url = `http://${formatHostPort(address)}`
  let asked: Asked
  try {
    asked = await ask(`${url}${AGENT_STATUS_PATH}`, {
      timeoutMs: TIMEOUT_MS,
      bytesMax: AGENT_ANSWER_BYTES_MAX,
      connections,
    })
  } catch (error) {
    const problem = problemOf(error)
    return problem === 'ECONNREFUSED' ? { kind: 'closed', url } : { kind: 'stranger', url, problem }
  }
  if (asked.status === 403 && jsonOf(asked.body)?.code === 'NOT_LOCAL') return { kind: 'refused', url }
  if (asked.status !== 200) return whichService(url, asked.status, connections)
  try {
    const status = decodeAgentStatus(asked.body.toString())
    return { kind: 'answered', url, status, tookMs: Math.round(asked.tookMs) }
  } catch (error) {
    if (!(error instanceof ControlMessageInvalidError)) throw error
    return { kind: 'stranger', url, problem: error.message }
  }
}

async function whichService(url: string, status: number, connections: HttpClient): Promise<AgentSight> {
  try {
    const ready = jsonOf((await ask(`${url}/readyz`, { timeoutMs: TIMEOUT_MS, connections })).body)
    if (ready?.status === 'ready')
      return { kind: 'other', url, service: ready.service === 'seeder' ? 'seeder' : 'older' }
  } catch {
    // It answers one question and not the next: a stranger all the same.
  }
  return { kind: 'stranger', url, problem: `HTTP ${status}` }
}
