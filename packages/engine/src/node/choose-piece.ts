/**
 * Which piece to ask a peer for next. Pure.
 *
 * Readers first: what a client waits for, then the pieces just ahead of it. Then rarest first, equal ones in this node's own
 * random order (Legout et al., "Rarest First and Choke Algorithms Are Enough", 2006). While every peer is complete, nobody
 * needs rare pieces from here: they come in order, as disks and readers like them.
 */
import { READER_WINDOW_PIECES } from '@shoal/core'
import type { Peer } from './peer.ts'

export function choosePiece(peer: Peer): number | undefined {
  const { swarm } = peer
  if (peer.wantedCount === 0) return undefined
  const isWanted = (index: number) =>
    !swarm.have.has(index) && peer.have.has(index) && swarm.fetchesOf(index).length === 0

  // Offset by offset, so that of two readers neither waits for the other's whole window.
  for (let ahead = 0; ahead < READER_WINDOW_PIECES; ahead++) {
    for (const position of swarm.readerPositions) {
      const index = position + ahead
      if (index < swarm.have.length && isWanted(index)) return index
    }
  }

  const inOrder = swarm.areAllPeersComplete
  const [firstReader = 0] = swarm.readerPositions
  let best: number | undefined
  for (let index = swarm.have.nextMissing(inOrder ? firstReader : 0); index < swarm.have.length; index++) {
    if (!isWanted(index)) continue
    if (inOrder) return index
    if (best === undefined || isRarer(peer, index, best)) best = index
  }
  if (best !== undefined || !inOrder || firstReader === 0) return best
  for (let index = 0; index < firstReader; index++) if (isWanted(index)) return index
  return undefined
}

function isRarer({ swarm: { availability, rank } }: Peer, index: number, than: number): boolean {
  const difference = availability[index]! - availability[than]!
  return difference < 0 || (difference === 0 && rank[index]! < rank[than]!)
}
