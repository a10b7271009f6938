/**
 * Whom to serve next. Pure.
 *
 * Peers are cooperative, so nobody is choked and there is no tit-for-tat; what is scarce is the order. A piece that was
 * begun is finished first, because only a whole piece can be passed on; then comes the piece that this node has sent least
 * often, so that a lone seeder sends every piece once before it sends any twice; then who has waited longest. Only a few
 * blocks are sent at a time, at most two to one peer.
 */
import type { Block } from '@shoal/wire'

/** A second one keeps the connection busy while the first one's end is being told. */
const SENDS_PER_PEER_MAX = 2
/**
 * A send that takes longer than this, and that so many have overtaken that began later, is held up by its receiver and not by
 * this node's link: it does not keep others from it.
 */
export const SLOW_SEND_MS = 500
const OVERTAKEN_MIN = 3
/** Requests that are looked at per peer; the rest wait their turn in the order in which they came. */
const LOOK_AHEAD = 32

export interface Send {
  readonly block: Block
  readonly sinceMs: number
  /** Sends that began later and have ended. */
  overtaken: number
}

export interface UploadPeer {
  /** Requests that wait, oldest first. */
  readonly queue: Block[]
  readonly sends: Send[]
  /** The piece of which the last block was sent. */
  lastPiece: number
  lastServedAtMs: number
  /** Its last send was held up: it takes no slot from the others. */
  isSlow: boolean
  /** How many pieces it has. */
  readonly pieces: () => number
  /** How often this node has begun to send piece `index` of the peer's swarm. */
  readonly timesSent: (index: number) => number
}

export function createUploadPeer(timesSent: (index: number) => number, pieces: () => number): UploadPeer {
  return { queue: [], sends: [], lastPiece: -1, lastServedAtMs: 0, isSlow: false, pieces, timesSent }
}

export function isHeldUp(nowMs: number, { sinceMs, overtaken }: Send): boolean {
  return overtaken >= OVERTAKEN_MIN && nowMs - sinceMs >= SLOW_SEND_MS
}

/** Takes the best request out of its queue; undefined while every slot is in use or nobody waits. */
export function takeUpload<P extends UploadPeer>(
  nowMs: number,
  peers: Iterable<P>,
  slots: number,
): { peer: P; block: Block } | undefined {
  let busy = 0
  let hasSlow = false
  for (const peer of peers) {
    for (const send of peer.sends) {
      if (isHeldUp(nowMs, send)) peer.isSlow = true
      else if (!peer.isSlow) busy++
    }
    hasSlow ||= peer.isSlow
  }
  if (busy >= slots && !hasSlow) return undefined
  let best: { peer: P; position: number; score: number } | undefined
  for (const peer of peers) {
    if (busy >= slots && !peer.isSlow) continue
    if (peer.queue.length === 0 || peer.sends.length >= (peer.isSlow ? 1 : SENDS_PER_PEER_MAX)) continue
    const position = bestRequest(peer)
    const score = scoreOf(peer, peer.queue[position]!.index)
    const isBetter = best === undefined || isBefore(peer, score, best.peer, best.score)
    if (isBetter) best = { peer, position, score }
  }
  if (best === undefined) return undefined
  const [block] = best.peer.queue.splice(best.position, 1)
  return { peer: best.peer, block: block! }
}

/**
 * A piece that was begun; then whoever is sent nothing now, because one receiver may be held up where two are not; then the
 * piece that was sent least; then who has least, so that nobody falls behind; then who has waited longest.
 */
function isBefore(a: UploadPeer, aScore: number, b: UploadPeer, bScore: number): boolean {
  if (aScore < 0 || bScore < 0) return aScore < bScore
  if (a.sends.length !== b.sends.length) return a.sends.length < b.sends.length
  if (aScore !== bScore) return aScore < bScore
  const [aPieces, bPieces] = [a.pieces(), b.pieces()]
  return aPieces < bPieces || (aPieces === bPieces && a.lastServedAtMs < b.lastServedAtMs)
}

function bestRequest(peer: UploadPeer): number {
  let best = 0
  let bestScore = Number.POSITIVE_INFINITY
  for (let position = 0; position < peer.queue.length && position < LOOK_AHEAD; position++) {
    const score = scoreOf(peer, peer.queue[position]!.index)
    if (score < bestScore) {
      best = position
      bestScore = score
    }
  }
  return best
}

function scoreOf(peer: UploadPeer, index: number): number {
  return index === peer.lastPiece ? -1 : peer.timesSent(index)
}
