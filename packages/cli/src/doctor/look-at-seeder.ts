/** What answers where the seeder should, and how fast. Asks; decides nothing. Bounded, never throws. */
import { isIP } from 'node:net'
import { type FoundAddress, type LookupAnswer, lookUpApart } from './apart.ts'
import { type Asked, ask, connectionsTo, jsonOf, problemOf } from './ask.ts'

/** A resolver that has an answer has it long before. */
const LOOKUP_TIMEOUT_MS = 2_000
const ASK_TIMEOUT_MS = 2_000

export type SeederSight =
  | { readonly kind: 'unresolved'; readonly url: string; readonly host: string; readonly problem: string }
  | { readonly kind: 'unreachable'; readonly url: string; readonly address: string; readonly problem: string }
  | {
      readonly kind: 'answered'
      readonly url: string
      readonly address: string
      readonly status: number
      /** As it calls itself: `seeder`. */
      readonly service: string | undefined
      readonly isReady: boolean
      /** What it says is wrong with it: why it is not ready, or what is wrong though it is. */
      readonly complaints?: readonly string[]
      readonly version: string | undefined
      /** Of a question on a connection that was open. */
      readonly roundTripMs: number
      readonly clock: ClockSample | undefined
    }

/** The seeder's clock, in whole seconds, and when we heard of it by our own. */
export interface ClockSample {
  readonly theirsMs: number
  readonly sentAtMs: number
  readonly receivedAtMs: number
}

export async function lookAtSeeder(
  url: string,
  lookUp: (host: string, timeoutMs: number) => Promise<LookupAnswer> = lookUpApart,
): Promise<SeederSight> {
  const host = new URL(url).hostname.replace(/^\[(.*)\]$/, '$1')
  const found: LookupAnswer =
    isIP(host) === 0
      ? await lookUp(host, LOOKUP_TIMEOUT_MS)
      : { addresses: [{ address: host, family: isIP(host) }] }
  if ('problem' in found) return { kind: 'unresolved', url, host, problem: found.problem }
  const { addresses } = found
  if (addresses.length === 0) return { kind: 'unresolved', url, host, problem: 'ENOTFOUND' }
  return askSeeder(url, addresses)
}

async function askSeeder(url: string, addresses: readonly FoundAddress[]): Promise<SeederSight> {
  const address = addresses.map((one) => one.address).join(', ')
  const connections = connectionsTo(addresses)
  const question = () => ask(new URL('/readyz', url), { timeoutMs: ASK_TIMEOUT_MS, connections })
  try {
    const first = await question()
    // The second request finds the connection open, so it takes one round trip.
    const second = await question().catch(() => first)
    const said = jsonOf(second.body)
    return {
      kind: 'answered',
      url,
      address,
      status: second.status,
      isReady: second.status === 200 && said?.status === 'ready',
      complaints: [...textsOf(said?.problems), ...textsOf(said?.warnings)],
      service: textOf(said?.service),
      version: textOf(said?.version),
      roundTripMs: Math.round(second.tookMs * 10) / 10,
      clock: clockOf(second),
    }
  } catch (error) {
    return { kind: 'unreachable', url, address, problem: problemOf(error) }
  } finally {
    void connections.close()
  }
}

function clockOf({ date, sentAtMs, receivedAtMs }: Asked): ClockSample | undefined {
  const theirsMs = Date.parse(date ?? '')
  return Number.isNaN(theirsMs) ? undefined : { theirsMs, sentAtMs, receivedAtMs }
}

function textsOf(value: unknown): string[] {
  if (!Array.isArray(value)) return []
  return value.slice(0, 8).flatMap((one) => (typeof one === 'string' ? [one.slice(0, 512)] : []))
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value.slice(0, 128) : undefined
}
