/**
 * Which piece to ask for next: the rule that every engine, the agent and the simulator keep to. Pure: what is known of the
 * swarm and the chance to break ties are arguments.
 *
 * Readers first: a client that waits is given the pieces just ahead of it, in order. Everything else goes rarest first
 * with a random tie-break, so that a lone seeder sends every piece once before it sends any twice and two nodes rarely
 * ask for the same piece (Legout et al., "Rarest First and Choke Algorithms Are Enough", 2006).
 */
import type { Bitfield, Prng } from '@shoal/core'
import { assert } from '@shoal/core'

/** Pieces ahead of each reader that come before all others. */
export const READER_WINDOW_PIECES = 4

export interface PickerView {
  /** What is here already. */
  readonly have: Bitfield
  /** Whether piece `index` has been asked for and is still on its way. */
  readonly isRequested: (index: number) => boolean
  /** Whether the one who would be asked has piece `index`. */
  readonly isOffered: (index: number) => boolean
  /** How many others have piece `index`. */
  readonly availability: (index: number) => number
  /** The piece that each reader waits for or will reach next. */
  readonly readerPositions: readonly number[]
}

/**
 * @returns at most `countMax` different pieces that are missing, offered and not yet requested, best first
 */
export function pickPieces(view: PickerView, countMax: number, prng: Prng): number[] {
  assert(countMax >= 0, 'a count is not negative')
  const picked: number[] = []
  const wanted = (index: number) =>
    !view.have.has(index) && !view.isRequested(index) && view.isOffered(index) && !picked.includes(index)

  while (picked.length < countMax) {
    const next = nextForReaders(view.readerPositions, (index) => index < view.have.length && wanted(index))
    if (next === undefined) break
    picked.push(next)
  }
  if (picked.length === countMax) return picked

  const rest: { index: number; availability: number; tie: number }[] = []
  for (
    let index = view.have.nextMissing();
    index < view.have.length;
    index = view.have.nextMissing(index + 1)
  ) {
    if (!wanted(index)) continue
    rest.push({ index, availability: view.availability(index), tie: prng.next() })
  }
  rest.sort((a, b) => byRarity(a.availability, a.tie, b.availability, b.tie) || a.index - b.index)
  for (const { index } of rest.slice(0, countMax - picked.length)) picked.push(index)
  return picked
}

/**
 * Offset by offset, so that of two readers neither waits for the other's whole window.
 *
 * @param isWanted is also asked of indexes beyond the last piece
 */
export function nextForReaders(
  readerPositions: readonly number[],
  isWanted: (index: number) => boolean,
): number | undefined {
  for (let ahead = 0; ahead < READER_WINDOW_PIECES; ahead++)
    for (const position of readerPositions) if (isWanted(position + ahead)) return position + ahead
  return undefined
}

/**
 * The rarer piece first, then the one of the lower tie, which is another piece from node to node.
 *
 * @returns below 0 when the first piece goes first
 */
export function byRarity(
  availability: number,
  tie: number,
  otherAvailability: number,
  otherTie: number,
): number {
  return availability - otherAvailability || tie - otherTie
}
