/**
 * Reads what a registry says about how often it may still be asked. Pure.
 * `Retry-After`: RFC 9110, 10.2.3. `RateLimit-*`: the IETF's draft as Docker Hub has it (`76;w=21600`).
 */

export interface RateLimit {
  /** Requests that are left in the window. */
  readonly remaining: number
  /** Requests in a whole window, and its length, where they were told. */
  readonly limit?: number
  readonly windowSeconds?: number
  /** When it was said. */
  readonly atMs: number
}

/** Reads one value of a response header, names in lower case. */
export type HeaderReader = (name: string) => string | undefined

/** A wait that nobody has named: short enough to notice a limit that was lifted. */
const BUSY_MS_DEFAULT = 60_000
/** Docker Hub's window is six hours; whoever says more is mistaken, or wants a mirror to stop. */
const BUSY_MS_MAX = 6 * 3_600_000
/** Numbers from here on are a time, not a wait: Docker Hub gives seconds since 1970. */
const UNIX_SECONDS_MIN = 1_000_000_000

/** @returns undefined when nothing was said */
export function readRateLimit(header: HeaderReader, nowMs: number): RateLimit | undefined {
  const remaining = readQuota(header('ratelimit-remaining') ?? header('x-ratelimit-remaining'))
  if (remaining === undefined) return undefined
  const limit = readQuota(header('ratelimit-limit') ?? header('x-ratelimit-limit'))
  const windowSeconds = remaining.windowSeconds ?? limit?.windowSeconds
  return {
    remaining: remaining.count,
    ...(limit === undefined ? {} : { limit: limit.count }),
    ...(windowSeconds === undefined ? {} : { windowSeconds }),
    atMs: nowMs,
  }
}

/** When a 429, or a 503 that names a time, may be asked again. */
export function readRetryAtMs(header: HeaderReader, nowMs: number): number {
  return nowMs + Math.min(BUSY_MS_MAX, readWaitMs(header('retry-after')?.trim() ?? '', nowMs))
}

function readWaitMs(text: string, nowMs: number): number {
  if (/^[0-9]{1,12}(?:\.[0-9]{1,9})?$/.test(text)) {
    const seconds = Number(text)
    return seconds < UNIX_SECONDS_MIN ? Math.ceil(seconds * 1_000) : Math.max(0, seconds * 1_000 - nowMs)
  }
  const atMs = /^[A-Za-z]{3},/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(atMs) ? BUSY_MS_DEFAULT : Math.max(0, atMs - nowMs)
}

function readQuota(text: string | undefined): { count: number; windowSeconds?: number } | undefined {
  const match = /^([0-9]{1,9})(?:[ \t]*;[ \t]*w=([0-9]{1,9}))?(?:[ \t]*[;,]|$)/.exec(text?.trim() ?? '')
  if (match === null) return undefined
  return { count: Number(match[1]), ...(match[2] === undefined ? {} : { windowSeconds: Number(match[2]) }) }
}
