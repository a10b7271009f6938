/** Which pieces one request over HTTP brings. Pure. */
import { PULL_LIMITS } from './limits.ts'

/** Pieces from `first` on without a gap, as many as one request may bring. `first` is one of them in any case. */
export function runOfPieces(
  first: number,
  pieceLength: number,
  isWanted: (index: number) => boolean,
): number[] {
  const indexes = [first]
  for (let index = first + 1; isWanted(index); index++) {
    if ((indexes.length + 1) * pieceLength > PULL_LIMITS.runBytesMax) break
    indexes.push(index)
  }
  return indexes
}
