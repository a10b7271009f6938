/**
 * Whether the seeder can be asked: what its answers, its silence and its announce stream say of it. Pure.
 *
 * One question that nobody answered is reason to doubt, and a doubt is settled by a short question of its own (a probe): another
 * registry may be slow, and the seeder well. Once a probe has failed too, nobody waits for the seeder any more; it is probed
 * again and again, one probe at a time, and is back with the first sign of life.
 */

/** What a probe saw. */
export type SeederSight =
  | { readonly kind: 'seeder' }
  /** Something answers, and it is no seeder. */
  | { readonly kind: 'stranger'; readonly reason: string }
  /** Nothing answers. */
  | { readonly kind: 'unreachable'; readonly reason: string }

export interface SeederHealth {
  /** `unknown` until the first probe has ended; `silent` while nobody should wait for it. */
  readonly kind: 'unknown' | 'answers' | 'silent' | 'stranger'
  /** Why it cannot be asked, in words for whoever mends it; undefined while it can. */
  readonly reason: string | undefined
  readonly sinceMs: number
  /** The last sign of life. */
  readonly answeredAtMs: number | undefined
  readonly isProbing: boolean
  readonly nextProbeAtMs: number | undefined
}

export type SeederHealthEvent =
  /** The service begins, or somebody doubts. */
  | { readonly kind: 'doubted' }
  /** It answered a question, or said something on the announce stream. */
  | { readonly kind: 'heard' }
  | { readonly kind: 'probed'; readonly sight: SeederSight }
  | { readonly kind: 'timer' }

export type SeederHealthEffect =
  | { readonly kind: 'probe' }
  /** Nobody should wait for it from now on, or it is no seeder: told once for each reason. */
  | { readonly kind: 'lost'; readonly reason: string }
  | { readonly kind: 'found' }

/** From the end of a probe to the next while the seeder does not answer. */
export const PROBE_INTERVAL_MS = 2_000
/** For so long after a sign of life nobody has to look whether the seeder is there. */
export const SURE_FOR_MS = 5_000

export const UNKNOWN_HEALTH: SeederHealth = {
  kind: 'unknown',
  reason: undefined,
  sinceMs: 0,
  answeredAtMs: undefined,
  isProbing: false,
  nextProbeAtMs: undefined,
}

export function stepSeederHealth(
  health: SeederHealth,
  nowMs: number,
  event: SeederHealthEvent,
): { readonly health: SeederHealth; readonly effects: readonly SeederHealthEffect[] } {
  switch (event.kind) {
    case 'heard':
      return answered(health, nowMs)
    case 'doubted':
      return probing(health)
    case 'timer':
      return health.nextProbeAtMs !== undefined && nowMs >= health.nextProbeAtMs
        ? probing(health)
        : { health, effects: [] }
    case 'probed': {
      const rested = { ...health, isProbing: false, nextProbeAtMs: undefined }
      if (event.sight.kind === 'seeder') return answered(rested, nowMs)
      return lost(rested, nowMs, event.sight)
    }
  }
}

/** Whether there was a sign of life so short a time ago that nobody has to look. */
export function isSure({ kind, answeredAtMs }: SeederHealth, nowMs: number): boolean {
  return kind === 'answers' && answeredAtMs !== undefined && nowMs - answeredAtMs < SURE_FOR_MS
}

function answered(health: SeederHealth, nowMs: number) {
  const isNews = health.kind !== 'answers'
  const now: SeederHealth = {
    ...health,
    kind: 'answers',
    reason: undefined,
    sinceMs: isNews ? nowMs : health.sinceMs,
    answeredAtMs: nowMs,
    nextProbeAtMs: undefined,
  }
  return { health: now, effects: isNews ? [{ kind: 'found' } as const] : [] }
}

function probing(health: SeederHealth) {
  if (health.isProbing) return { health, effects: [] }
  const now: SeederHealth = { ...health, isProbing: true, nextProbeAtMs: undefined }
  return { health: now, effects: [{ kind: 'probe' } as const] }
}

function lost(health: SeederHealth, nowMs: number, sight: Exclude<SeederSight, { kind: 'seeder' }>) {
  const kind = sight.kind === 'unreachable' ? 'silent' : 'stranger'
  const { reason } = sight
  const isNews = health.kind !== kind || health.reason !== reason
  const now: SeederHealth = {
    ...health,
    kind,
    reason,
    sinceMs: health.kind === kind ? health.sinceMs : nowMs,
    nextProbeAtMs: nowMs + PROBE_INTERVAL_MS,
  }
  return { health: now, effects: isNews ? [{ kind: 'lost', reason } as const] : [] }
}
