/**
 * Who gives its connection up for somebody new when there are as many as there may be. Pure.
 *
 * A connection costs its owner nothing while it does nothing, so those that do nothing are kept only as long as nobody else
 * wants their place: sitting on places keeps nobody out. Who gives or gets blocks is left alone, and nobody's address has all.
 */
import type { Peer } from './swarm.ts'

/** Of the connections that there may be, how many one address may have: a quarter is always for the others. */
const ADDRESS_SHARE = 3 / 4
/** Between two blocks a peer may have nothing to ask for. */
const QUIET_MS = 30_000
/** Who came so long ago and has done nothing gives way to who comes from elsewhere, too. */
const USELESS_MS = 10_000

/** @returns whom the newcomer replaces, nobody where there is room, or `full` */
export function roomFor(
  nowMs: number,
  newcomer: { readonly from: string },
  peers: ReadonlySet<Peer> | readonly Peer[],
  connectionsMax: number,
): { readonly kind: 'room' | 'full' } | { readonly kind: 'replaces'; readonly peer: Peer } {
  const counts = new Map<string, number>()
  let size = 0
  for (const { from } of peers) {
    counts.set(from, (counts.get(from) ?? 0) + 1)
    size++
  }
  const own = counts.get(newcomer.from) ?? 0
  const isAddressFull = newcomer.from !== '' && own >= Math.ceil(connectionsMax * ADDRESS_SHARE)
  if (!isAddressFull && size < connectionsMax) return { kind: 'room' }
  let best: Peer | undefined
  for (const peer of peers) {
    if (isAddressFull && peer.from !== newcomer.from) continue
    if (!isIdle(nowMs, peer)) continue
    const isGreedier = peer.from === newcomer.from || counts.get(peer.from)! > own + 1
    if (!isGreedier && nowMs - idleSinceMs(peer) < USELESS_MS) continue
    if (best === undefined || isBefore(peer, best, counts)) best = peer
  }
  return best === undefined ? { kind: 'full' } : { kind: 'replaces', peer: best }
}

/** From the address that has most; there, who has been idle for longest. */
function isBefore(a: Peer, b: Peer, counts: ReadonlyMap<string, number>): boolean {
  const [ofA, ofB] = [counts.get(a.from)!, counts.get(b.from)!]
  return ofA > ofB || (ofA === ofB && idleSinceMs(a) < idleSinceMs(b))
}

function isIdle(nowMs: number, peer: Peer): boolean {
  const isWorking =
    peer.queue.length > 0 || peer.sends.length > 0 || peer.requests.length > 0 || peer.fetches.length > 0
  return !isWorking && nowMs - peer.exchangedAtMs >= QUIET_MS
}

function idleSinceMs({ cameAtMs, exchangedAtMs }: Peer): number {
  return Math.max(cameAtMs, exchangedAtMs)
}
