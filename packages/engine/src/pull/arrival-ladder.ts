/**
 * What is done for a reader that waits for a piece of a blob which is still arriving at the seeder. Pure.
 *
 * The seeder receives a blob in order, and agents share the pieces that it has: mostly there is nothing to do but wait. Who reads
 * far ahead has the seeder fetch that place first, once; where the swarm does not give what the seeder has, the seeder is asked
 * over HTTP, as the source ladder does for blobs that are there.
 */
import { LADDER_RULE } from './source-ladder.ts'

export interface ArrivalRule {
  /** How long the piece behind one that came out of turn is waited for before the seeder is told that somebody wants it, ms. */
  readonly nextMs: number
  /** Silence of the swarm that is long enough to ask for a piece over HTTP, ms. */
  readonly stallMs: number
}

export const ARRIVAL_RULE: ArrivalRule = { nextMs: 1_000, stallMs: LADDER_RULE.stallMs }

/** A piece that a reader waits for, and what is known of it. */
export interface WantedPiece {
  readonly pieceIndex: number
  readonly pieceCount: number
  /** Whether the seeder has said the hash of a piece: then it has the piece. */
  readonly isKnown: (pieceIndex: number) => boolean
  /** The first piece whose hash it has not said: what it receives next, in order. */
  readonly firstUnknown: number
  /** Since when somebody waits for it. */
  readonly wantedAtMs: number
  /** When a byte last came from the swarm, or the swarm was joined. */
  readonly swarmBytesAtMs: number
  /** The seeder was told of it. */
  readonly isNudged: boolean
}

/** `nudge` tells the seeder that the piece is waited for; `fetch` has it from there over HTTP. */
export function arrivalStep(
  nowMs: number,
  wanted: WantedPiece,
  rule: ArrivalRule = ARRIVAL_RULE,
): 'wait' | 'nudge' | 'fetch' {
  const { pieceIndex, pieceCount, isKnown, firstUnknown, wantedAtMs, swarmBytesAtMs, isNudged } = wanted
  // It is held back until the whole is there, whoever has it.
  if (pieceIndex === pieceCount - 1) return 'wait'
  if (isKnown(pieceIndex)) return nowMs - swarmBytesAtMs >= rule.stallMs ? 'fetch' : 'wait'
  if (isNudged || pieceIndex <= firstUnknown) return 'wait'
  const isNextOfStretch = isKnown(pieceIndex - 1)
  return isNextOfStretch && nowMs - wantedAtMs < rule.nextMs ? 'wait' : 'nudge'
}
