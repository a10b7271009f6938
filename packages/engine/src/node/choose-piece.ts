/**
 * Which piece to ask a peer for next. Pure.
 *
 * Readers first, then rarest first, by the rule that stands in the piece picker; equal ones in this node's own random order.
 * While every peer is complete, nobody needs rare pieces from here: they come in order, as disks and readers like them.
 */
import { byRarity, nextForReaders } from '../policy/piece-picker.ts'
import { isShowing, type Peer } from './swarm.ts'

/** A reader waits so long for a piece that no peer has announced; then a source is asked for it, which has all pieces. */
const READER_PATIENCE_MS = 2_000
/** When no peer has sent a block for so long, peers in other zones are asked for all that is missing, not for a share of it. */
export const ZONE_PATIENCE_MS = 3_000
/** With so many pieces on their way from other peers, a source that has shown everything is asked for nothing common. */
const BUSY_FETCHES = 2

export function choosePiece(nowMs: number, peer: Peer): number | undefined {
  const { swarm, have } = peer
  const { open } = swarm
  if (swarm.areAllPeersComplete && (!peer.isOutside || swarm.insidePeers === 0)) return nextInOrder(peer)
  // Without shares there are no agents in other zones: only the source is, for all alike.
  if (peer.isOutside && swarm.imports !== undefined) return chooseImport(nowMs, peer)
  const isPatient = !peer.isSource || nowMs - swarm.readersMovedAtMs < READER_PATIENCE_MS
  if (peer.wantedCount === 0 && isPatient) return undefined
  if (isSpared(peer)) return rarest(peer, (index) => swarm.availability[index] === 1)

  const isOffered = (index: number) => have.has(index) || (!isPatient && swarm.availability[index] === 0)
  const forReaders = nextForReaders(swarm.readerPositions, (index) => open.has(index) && isOffered(index))
  return forReaders ?? rarest(peer, () => true)
}

/** What nobody in this zone has yet, as far as this node is to fetch it: so that a zone imports a piece about once. */
function chooseImport(nowMs: number, peer: Peer): number | undefined {
  const { imports, availabilityInside, insidePeers, lastBlockAtMs } = peer.swarm
  if (insidePeers === 0 || nowMs - lastBlockAtMs > ZONE_PATIENCE_MS) return rarest(peer, () => true)
  // What a source shows to this node alone is this node's to fetch.
  if (isShowing(peer)) return rarest(peer, (index) => availabilityInside[index] === 0)
  const { modulus, remainders } = imports!
  return rarest(peer, (index) => availabilityInside[index] === 0 && remainders.includes(index % modulus))
}

/** A source that has shown everything is for those who come later, while the others keep this node busy. */
function isSpared(peer: Peer): boolean {
  if (!peer.isSource || isShowing(peer)) return false
  let fetches = 0
  for (const other of peer.swarm.peers) if (!other.isSource) fetches += other.fetches.length
  return fetches >= BUSY_FETCHES
}

function rarest(peer: Peer, isAllowed: (index: number) => boolean): number | undefined {
  const { open } = peer.swarm
  let best: number | undefined
  for (
    let index = open.nextInBoth(peer.have);
    index < open.length;
    index = open.nextInBoth(peer.have, index + 1)
  )
    if ((best === undefined || isRarer(peer, index, best)) && isAllowed(index)) best = index
  return best
}

/** Nobody needs anything from here, and whoever shows its pieces one by one may be asked for any. */
function nextInOrder({ swarm: { open, readerPositions }, have, isSource }: Peer): number | undefined {
  const [firstReader = 0] = readerPositions
  const offered = isSource ? open : have
  // Of several readers none waits for what another has before it.
  if (readerPositions.length > 1) {
    const forReaders = nextForReaders(readerPositions, (index) => open.has(index) && offered.has(index))
    if (forReaders !== undefined) return forReaders
  }
  for (const from of [firstReader, 0]) {
    const index = open.nextInBoth(offered, from)
    if (index < open.length) return index
  }
  return undefined
}

function isRarer({ swarm: { availability, rank } }: Peer, index: number, than: number): boolean {
  return byRarity(availability[index]!, rank[index]!, availability[than]!, rank[than]!) < 0
}
