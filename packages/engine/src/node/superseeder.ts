/**
 * Which pieces a source tells each peer of (BEP 16, "Superseeding"). A source is a peer that has everything from the start or
 * gets it from outside the swarm. Pure.
 *
 * Everything that a swarm gets comes from its source first, and no sooner than the source's link allows: so in a crowd it must
 * not send a piece twice before it has sent every piece once. It tells each peer of a few pieces at a time, and no two peers of
 * the same one; when every piece was shown to somebody, it tells all peers of everything. Pieces are shown in order, as readers
 * want them.
 *
 * A peer that is alone with the source may ask for anything: whoever knows a source by its extension handshake does so.
 */
import type { NodeState } from './node-state.ts'
import type { NodeSwarm, Peer } from './swarm.ts'

/** A peer is told of so many pieces that it was not sent yet. */
const SHOWN_AHEAD = 4
/**
 * A peer is shown no more while too many of the pieces that it was sent first have not been announced by any other peer: it may
 * be one that passes nothing on. Too many are so many more than twice the figure of the peer with the lowest one.
 */
const UNSEEN_EXTRA_MAX = 32

export class Superseeder {
  readonly #state: NodeState

  constructor(state: NodeState) {
    this.#state = state
  }

  /** The peer, just connected, is to be shown pieces one by one. @returns false where the swarm is shown everything */
  enlist(peer: Peer): boolean {
    const { swarm } = peer
    if (swarm.shown === undefined || swarm.shown.isFull) return false
    peer.shown = { ahead: new Set(), unseen: 0 }
    return true
  }

  /** It is ready for the first ones. */
  show(peer: Peer): void {
    const { swarm, shown } = peer
    if (shown === undefined || swarm.shown === undefined) return
    const unseenMax = this.#unseenMax(peer)
    while (shown.ahead.size < SHOWN_AHEAD && shown.unseen < unseenMax) {
      const index = this.#nextFor(peer)
      if (index === undefined) break
      swarm.shown.set(index)
      shown.ahead.add(index)
      this.#state.send(peer, { kind: 'have', index })
    }
    this.#showAllIfDone(swarm)
  }

  /** The piece is being sent to the peer, asked for because it was shown or because a reader waits for it. */
  sent(peer: Peer, index: number): void {
    const { swarm, shown } = peer
    if (swarm.shown === undefined || swarm.shown.isFull) return
    swarm.shown.set(index)
    if (shown !== undefined) {
      shown.ahead.delete(index)
      if (swarm.firstSentTo[index] === undefined) {
        swarm.firstSentTo[index] = peer
        shown.unseen++
      }
      this.show(peer)
    }
    this.#showAllIfDone(swarm)
  }

  /** The peer tells that it has the piece. */
  seen(peer: Peer, index: number): void {
    const { swarm } = peer
    if (swarm.shown === undefined || swarm.shown.isFull) return
    if (peer.shown?.ahead.delete(index)) this.show(peer)
    const first = swarm.firstSentTo[index]
    if (first === undefined) {
      // It came from elsewhere: nobody needs it from here first.
      swarm.shown.set(index)
      this.#showAllIfDone(swarm)
    }
    if (first === undefined || first === peer || first === 'seen') return
    swarm.firstSentTo[index] = 'seen'
    if (first.shown === undefined) return
    first.shown.unseen--
    this.show(first)
  }

  /** What it was told of and not sent is for others. */
  forget(peer: Peer): void {
    const { swarm, shown } = peer
    if (swarm.shown === undefined) return
    if (shown !== undefined && !swarm.shown.isFull) for (const index of shown.ahead) swarm.shown.clear(index)
    for (const [index, first] of swarm.firstSentTo.entries())
      if (first === peer) swarm.firstSentTo[index] = undefined
    peer.shown = undefined
  }

  /** Somebody has gone: there may be more to show to those that stay. */
  showMore(swarm: NodeSwarm): void {
    if (swarm.shown === undefined || swarm.shown.isFull) return
    for (const peer of swarm.peers) this.show(peer)
  }

  /** The peer shall know of everything: it does not take part in the order, or everything is known. */
  showEverything(peer: Peer): void {
    const { swarm } = peer
    if (peer.shown === undefined) return
    peer.shown = undefined
    for (let index = 0; index < swarm.have.length; index++)
      if (swarm.have.has(index) && !peer.have.has(index)) this.#state.send(peer, { kind: 'have', index })
  }

  #unseenMax({ swarm }: Peer): number {
    let least = Number.POSITIVE_INFINITY
    for (const { shown } of swarm.peers) if (shown !== undefined) least = Math.min(least, shown.unseen)
    return swarm.peers.size === 1 ? Number.POSITIVE_INFINITY : UNSEEN_EXTRA_MAX + 2 * least
  }

  #nextFor(peer: Peer): number | undefined {
    const { shown, have } = peer.swarm
    let index = shown!.nextMissing()
    while (index < have.length && (peer.have.has(index) || !have.has(index)))
      index = shown!.nextMissing(index + 1)
    return index < have.length ? index : undefined
  }

  /** When the last piece was shown to somebody, all peers are told of everything. */
  #showAllIfDone(swarm: NodeSwarm): void {
    if (!swarm.shown!.isFull) return
    for (const peer of swarm.peers) this.showEverything(peer)
  }
}
