/**
 * Where a download turns when its peers give nothing: the seeder, then the origin, and back. Pure.
 *
 * Peers come first as long as bytes arrive from them. Each other source that fails rests for a while, twice as long after
 * each failure, so that a dead seeder costs one short wait and not one per piece.
 */

export interface LadderRule {
  /** Silence from connected peers that is long enough to look elsewhere, ms. */
  readonly stallMs: number
  /** The same while no peer is connected at all, ms. */
  readonly lonelyMs: number
  /** The first rest of a source that failed, and the longest, ms. */
  readonly restMs: number
  readonly restMaxMs: number
  /** Within so long after the others fell silent, somebody of a crowd turns to the origin, ms. */
  readonly originSpreadMs: number
  /** The crowd for which that is made. */
  readonly crowdMax: number
  /** Silence from everywhere after which the download is given up, ms. */
  readonly giveUpMs: number
}

export const LADDER_RULE: LadderRule = {
  // A loaded node may pause for seconds between two pieces without anything being wrong.
  stallMs: 5_000,
  lonelyMs: 2_500,
  restMs: 500,
  restMaxMs: 15_000,
  originSpreadMs: 2_000,
  crowdMax: 10_000,
  // Clients turn to another registry when a body is cut; while it hangs they wait.
  giveUpMs: 20_000,
}

export interface SourceHealth {
  readonly failures: number
  readonly failedAtMs: number
}

export const HEALTHY: SourceHealth = { failures: 0, failedAtMs: 0 }

export interface LadderState {
  /** When the download began or was resumed. */
  readonly startedAtMs: number
  /** When a byte last came from a peer; `startedAtMs` if never. */
  readonly peerBytesAtMs: number
  /** When a byte last came from anywhere; `startedAtMs` if never. */
  readonly anyBytesAtMs: number
  readonly peersConnected: number
  /** Drawn once for each download, in (0, 1]. */
  readonly chance: number
  readonly seeder: SourceHealth
  /** undefined where the origin cannot be reached without the seeder. */
  readonly origin: SourceHealth | undefined
}

export type LadderStep =
  | { readonly kind: 'wait'; readonly untilMs: number }
  | { readonly kind: 'fetch'; readonly from: 'seeder' | 'origin' }
  | { readonly kind: 'give-up' }

export function afterFailure(health: SourceHealth, nowMs: number): SourceHealth {
  return { failures: health.failures + 1, failedAtMs: nowMs }
}

export function nextStep(nowMs: number, state: LadderState, rule: LadderRule = LADDER_RULE): LadderStep {
  const patienceMs = state.peersConnected > 0 ? rule.stallMs : rule.lonelyMs
  const stalledAtMs = state.peerBytesAtMs + patienceMs
  if (nowMs < stalledAtMs) return { kind: 'wait', untilMs: stalledAtMs }
  if (nowMs - state.anyBytesAtMs >= rule.giveUpMs) return { kind: 'give-up' }

  const seederAtMs = restsUntilMs(state.seeder, rule)
  if (nowMs >= seederAtMs) return { kind: 'fetch', from: 'seeder' }
  const originAtMs =
    state.origin === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(restsUntilMs(state.origin, rule), stalledAtMs + originDelayMs(state, rule))
  if (nowMs >= originAtMs) return { kind: 'fetch', from: 'origin' }
  return { kind: 'wait', untilMs: Math.min(seederAtMs, originAtMs, state.anyBytesAtMs + rule.giveUpMs) }
}

/**
 * When all of a crowd lose the seeder at once, few should read the origin, and pass on what they read: whoever hears from them
 * stays away. Delays are spread exponentially, so that the first few come first whatever the size of the crowd (RFC 4654,
 * section 6.1, "Feedback suppression").
 */
function originDelayMs({ peersConnected, chance }: LadderState, rule: LadderRule): number {
  if (peersConnected === 0) return 0
  return rule.originSpreadMs * Math.max(0, 1 + Math.log(chance) / Math.log(rule.crowdMax))
}

function restsUntilMs(health: SourceHealth, rule: LadderRule): number {
  if (health.failures === 0) return Number.NEGATIVE_INFINITY
  return health.failedAtMs + Math.min(rule.restMs * 2 ** (health.failures - 1), rule.restMaxMs)
}
