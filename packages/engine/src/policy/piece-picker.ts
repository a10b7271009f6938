/**
 * Which piece to ask for next. Pure: what is known of the swarm and the chance to break ties are arguments.
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
  const wanted = (index: number) => !view.have.has(index) && !view.isRequested(index) && view.isOffered(index)

  // Offset by offset, so that of two readers neither waits for the other's whole window.
  for (let ahead = 0; ahead < READER_WINDOW_PIECES && picked.length < countMax; ahead++) {
    for (const position of view.readerPositions) {
      const index = position + ahead
      if (index >= view.have.length || picked.length === countMax) continue
      if (wanted(index) && !picked.includes(index)) picked.push(index)
    }
  }
  if (picked.length === countMax) return picked

  const rest: { index: number; availability: number; tie: number }[] = []
  for (
    let index = view.have.nextMissing();
    index < view.have.length;
    index = view.have.nextMissing(index + 1)
  ) {
    if (!wanted(index) || picked.includes(index)) continue
    rest.push({ index, availability: view.availability(index), tie: prng.next() })
  }
  rest.sort((a, b) => a.availability - b.availability || a.tie - b.tie || a.index - b.index)
  for (const { index } of rest.slice(0, countMax - picked.length)) picked.push(index)
  return picked
}
