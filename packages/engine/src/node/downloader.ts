/**
 * Keeps the peers busy with the right pieces: which piece from whom, how deep, when a peer is too slow, when two are asked
 * for one piece. A piece comes whole from one peer, into a buffer of its own.
 */

import { type Block, isSameBlock } from '@shoal/wire'
import { TokenBucket } from '../policy/token-bucket.ts'
import { choosePiece, ZONE_PATIENCE_MS } from './choose-piece.ts'
import type { NodeState } from './node-state.ts'
import { BUFFER_PAGE_BYTES, type FetchId } from './protocol.ts'
import { type Fetch, isShowing, type NodeSwarm, type Peer, type Request } from './swarm.ts'

/** How often peers that keep others waiting are looked for while something is on its way. */
export const CHECK_MS = 25
/** A peer that was silent too long rests so long, twice as long each time. */
const REST_MS = 1_000
const REST_MS_MAX = 30_000
/** Rests without a block between them after which the connection is given up. */
const RESTS_MAX = 4
/** A second fetch of a piece is begun when the first one will take so many times as long, and this much more. */
const DUPLICATE_FACTOR = 3
const DUPLICATE_EXTRA_MS = 30
/** Half of the buffers are kept for peers at least so fast, measured by the fastest. */
const SLOW_FRACTION = 1 / 4
/** Pieces asked of a peer at a time while others need pieces as well. */
const PIECES_ASKED_IN_CROWD = 2
/** Of the buffers, for pieces that come from the source: what nobody has yet should wait for nothing. */
const SOURCE_SHARE = 1 / 8

export class Downloader {
  readonly #state: NodeState
  readonly #bucket: TokenBucket
  readonly #fetches = new Map<FetchId, Fetch>()
  #nextFetch: FetchId = 1
  /** Bytes of the pieces that have a buffer or may get one any time. */
  #receiveBytes = 0
  /** Who has a piece to give and there was no room for it. */
  readonly #starved = new Set<Peer>()

  constructor(state: NodeState) {
    this.#state = state
    this.#bucket = new TokenBucket(state.limits.downloadBytesPerSecond, 0)
  }

  get receiveBytes(): number {
    return this.#receiveBytes
  }

  get fetches(): ReadonlyMap<FetchId, Fetch> {
    return this.#fetches
  }

  fillAll(nowMs: number): void {
    for (const swarm of this.#state.swarms.values()) this.fillSwarm(nowMs, swarm)
  }

  fillSwarm(nowMs: number, swarm: NodeSwarm): void {
    if (swarm.isDownloading) for (const peer of swarm.peers) this.fill(nowMs, peer)
  }

  /** Asks the peer for as much as keeps it busy. */
  fill(nowMs: number, peer: Peer): void {
    this.#showInterest(peer)
    if (!peer.swarm.isDownloading || peer.isChoking || nowMs < peer.restsUntilMs) return
    const shareBytes = this.#shareBytes(peer.swarm)
    while (this.#mayAsk(peer)) {
      if (!this.#bucket.hasAny(nowMs)) {
        this.#state.wakeAt(this.#bucket.nextAtMs(nowMs))
        return
      }
      // A piece is asked for whole: half of one is of use to nobody.
      let fetch = peer.fetches.find(({ askedBytes, bytes }) => askedBytes < bytes)
      if (fetch === undefined) {
        if (!peer.pipeline.hasRoom || peer.pipeline.outstandingBytes >= shareBytes) return
        fetch = this.#begin(nowMs, peer)
      }
      if (fetch === undefined) return
      this.#ask(nowMs, fetch)
    }
  }

  /** @returns false when nobody waited for it */
  blockArrived(nowMs: number, peer: Peer, id: FetchId, arrived: Block): boolean {
    const position = peer.requests.findIndex(
      (asked) => asked.fetch.id === id && isSameBlock(asked.block, arrived),
    )
    if (position < 0) return false
    const [request] = peer.requests.splice(position, 1)
    const { fetch, block, stamp } = request!
    peer.pipeline.arrived(nowMs, block.length, stamp)
    peer.lastBlockAtMs = nowMs
    peer.swarm.lastBlockAtMs = nowMs
    peer.rests = 0
    fetch.arrivedBytes += block.length
    if (fetch.arrivedBytes === fetch.bytes) {
      peer.fetches.splice(peer.fetches.indexOf(fetch), 1)
      fetch.state = 'verifying'
      this.#state.effect({ kind: 'verify', infoHash: fetch.swarm.infoHash, fetch: id, index: fetch.index })
    }
    this.fill(nowMs, peer)
    return true
  }

  /** @returns the fetch if its piece was bad: its peer is to blame */
  verified(nowMs: number, id: FetchId, isRight: boolean): Fetch | undefined {
    const fetch = this.#fetches.get(id)
    if (fetch === undefined) return undefined
    if (!isRight) {
      this.#end(fetch)
      return fetch
    }
    // Of two fetches of one piece, the first that is right is written.
    for (const other of [...fetch.swarm.fetchesOf(fetch.index)])
      if (other !== fetch) {
        this.abandon(other)
        // Who sent a piece that is being verified may be gone.
        if (this.#state.isConnected(other.peer)) this.fill(nowMs, other.peer)
      }
    fetch.state = 'writing'
    this.#state.effect({ kind: 'write', infoHash: fetch.swarm.infoHash, fetch: id, index: fetch.index })
    return undefined
  }

  /** Whether its piece is on disk or could not be written, the fetch is over. @returns it, unless it was given up meanwhile */
  finish(id: FetchId): Fetch | undefined {
    const fetch = this.#fetches.get(id)
    if (fetch !== undefined) this.#end(fetch)
    return fetch
  }

  /** A piece is here and its buffer free: who has nothing more to give is told so, and who waited for room gets it. */
  pieceDone(nowMs: number, swarm: NodeSwarm): void {
    for (const peer of swarm.peers) {
      if (peer.wantedCount === 0) this.#showInterest(peer)
      else if (peer.isSource) this.fill(nowMs, peer)
    }
    this.#feedStarved(nowMs)
  }

  /** Whether anything that was asked for may be late. */
  get isWaiting(): boolean {
    return this.#fetches.size > 0
  }

  /** The piece came from elsewhere: nobody needs to send it. */
  pieceHere(swarm: NodeSwarm, index: number): void {
    for (const fetch of [...swarm.fetchesOf(index)]) this.abandon(fetch)
  }

  /** Stops waiting for the fetch; its piece may be asked of anybody again. */
  abandon(fetch: Fetch): void {
    const { peer } = fetch
    for (const request of peer.requests.filter((asked) => asked.fetch === fetch)) {
      this.#forgetRequest(peer, request)
      // Whoever has sent it already cannot take it back.
      peer.cancelledBytes += request.block.length
      this.#state.effect({
        kind: 'cancel',
        connection: peer.connection,
        fetch: fetch.id,
        block: request.block,
      })
    }
    const position = peer.fetches.indexOf(fetch)
    if (position >= 0) peer.fetches.splice(position, 1)
    this.#end(fetch)
  }

  abandonSwarm(swarm: NodeSwarm): void {
    for (const fetch of this.#fetches.values()) if (fetch.swarm === swarm) this.abandon(fetch)
  }

  /** The peer will answer none of what was asked so far. */
  choked(peer: Peer): void {
    for (const fetch of [...peer.fetches]) this.abandon(fetch)
  }

  /** The peer refuses a block (BEP 6): its piece is asked of others. */
  rejected(nowMs: number, peer: Peer, block: Block): void {
    const request = peer.requests.find((asked) => isSameBlock(asked.block, block))
    if (request === undefined) return
    const { promisedTo, askedBackAtMs } = request.fetch
    this.#forgetRequest(peer, request)
    this.abandon(request.fetch)
    if (askedBackAtMs === Number.POSITIVE_INFINITY) {
      this.#rest(nowMs, peer, REST_MS)
      return
    }
    if (promisedTo === undefined) this.fillSwarm(nowMs, peer.swarm)
    else this.fill(nowMs, promisedTo)
    this.fill(nowMs, peer)
  }

  forget(peer: Peer): void {
    for (const fetch of [...peer.fetches]) {
      for (const request of peer.requests.filter((asked) => asked.fetch === fetch))
        this.#forgetRequest(peer, request)
      this.#end(fetch)
    }
    peer.fetches.length = 0
    this.#starved.delete(peer)
    if (peer.awaits !== undefined) peer.awaits.promisedTo = undefined
    peer.awaits = undefined
  }

  /** Pieces of the swarm are open again, and buffers are free. */
  roomMade(nowMs: number, swarm: NodeSwarm): void {
    this.fillSwarm(nowMs, swarm)
    this.#feedStarved(nowMs)
  }

  get starved(): ReadonlySet<Peer> {
    return this.#starved
  }

  /** Finds peers that keep silent, and gives their work to others. @returns those that are not worth a connection */
  checkSilence(nowMs: number): Peer[] {
    const hopeless: Peer[] = []
    for (const peer of this.#state.peers.values()) {
      const [oldest] = peer.requests
      if (oldest === undefined) continue
      const silentMs = nowMs - Math.max(oldest.stamp.atMs, peer.lastBlockAtMs)
      if (silentMs >= peer.pipeline.overdueMs) {
        this.#askAllBack(nowMs, peer)
        this.#giveUpUnanswered(nowMs, peer)
      }
      if (silentMs < peer.pipeline.timeoutMs) continue
      for (const fetch of [...peer.fetches]) this.abandon(fetch)
      peer.pipeline.reset()
      this.#rest(nowMs, peer, Math.min(REST_MS_MAX, REST_MS * 2 ** peer.rests++))
      if (peer.rests >= RESTS_MAX) hopeless.push(peer)
    }
    return hopeless
  }

  #begin(nowMs: number, peer: Peer): Fetch | undefined {
    const index = choosePiece(nowMs, peer)
    const urgent = this.#slowPieceOfReader(nowMs, peer)
    const chosen = urgent ?? index ?? this.#takeSlowPiece(nowMs, peer)
    if (chosen === undefined) {
      this.#askBack(nowMs, peer)
      const patientUntilMs = peer.swarm.lastBlockAtMs + ZONE_PATIENCE_MS + 1
      if (peer.isOutside && peer.wantedCount > 0 && patientUntilMs > nowMs) this.#state.wakeAt(patientUntilMs)
      return undefined
    }
    const { swarm } = peer
    const bytes = swarm.pieceBytes(chosen)
    if (!this.#hasRoomFor(peer, bufferBytes(bytes))) {
      this.#starved.add(peer)
      return undefined
    }
    const fetch: Fetch = {
      id: this.#nextFetch++,
      swarm,
      peer,
      index: chosen,
      bytes,
      startedAtMs: nowMs,
      state: 'fetching',
      askedBytes: 0,
      arrivedBytes: 0,
      promisedTo: undefined,
      askedBackAtMs: Number.POSITIVE_INFINITY,
    }
    this.#receiveBytes += bufferBytes(bytes)
    this.#fetches.set(fetch.id, fetch)
    swarm.addFetch(fetch)
    peer.fetches.push(fetch)
    return fetch
  }

  #ask(nowMs: number, fetch: Fetch): void {
    const { peer } = fetch
    const length = Math.min(peer.pipeline.blockBytes, fetch.bytes - fetch.askedBytes)
    const block = { index: fetch.index, begin: fetch.askedBytes, length }
    fetch.askedBytes += length
    this.#bucket.spend(length)
    peer.requests.push({ fetch, block, stamp: peer.pipeline.requested(nowMs, length) })
    this.#state.effect({ kind: 'request', connection: peer.connection, fetch: fetch.id, block })
    this.#state.wakeAt(nowMs + CHECK_MS)
  }

  /**
   * In a crowd, what is asked of one cannot be asked of another who gets it sooner: a piece of each keeps all busy. Those
   * who have everything are asked for as much as keeps them busy.
   */
  #shareBytes({ shape, areAllPeersComplete }: NodeSwarm): number {
    return areAllPeersComplete ? Number.POSITIVE_INFINITY : PIECES_ASKED_IN_CROWD * shape.pieceLength
  }

  #mayAsk(peer: Peer): boolean {
    return peer.requests.length < peer.requestsMax
  }

  /**
   * Room for every piece that is asked for is certain, so that no connection ever waits for a buffer. The last half is kept
   * for peers that will soon give it back.
   */
  #hasRoomFor(peer: Peer, bytes: number): boolean {
    const { receiveBytesMax } = this.#state.limits
    const after = this.#receiveBytes + bytes
    // One piece is always possible, however small the buffers are.
    if (this.#receiveBytes === 0) return true
    if (after <= receiveBytesMax / 2) return true
    if (isShowing(peer)) return after <= receiveBytesMax
    return after <= receiveBytesMax * (1 - SOURCE_SHARE) && (peer.fetches.length === 0 || this.#isFast(peer))
  }

  #isFast(peer: Peer): boolean {
    let fastest = 0
    for (const other of peer.swarm.peers) fastest = Math.max(fastest, other.pipeline.rate)
    return peer.pipeline.rate > 0 && peer.pipeline.rate >= fastest * SLOW_FRACTION
  }

  /**
   * A peer of whom nothing is asked gets a piece that waits in the longest queue: a piece is asked of the first peer that
   * has it, and so is everything else, while those that got it since have nothing to do. Nothing is sent twice for it: who
   * was asked first answers with a reject (BEP 6), or with the block because it is on its way already.
   */
  #askBack(nowMs: number, peer: Peer): void {
    if (peer.requests.length > 0 || peer.awaits !== undefined || peer.isOutside) return
    let longest: Fetch | undefined
    for (const fetch of this.#fetches.values()) {
      if (fetch.swarm !== peer.swarm || fetch.state !== 'fetching') continue
      if (fetch.askedBackAtMs !== Number.POSITIVE_INFINITY) continue
      if (!fetch.peer.hasFast || fetch.arrivedBytes > 0) continue
      const isNext = fetch.peer.fetches.length < 2
      if (isNext && nowMs - fetch.startedAtMs < fetch.peer.pipeline.overdueMs) continue
      if (!peer.have.has(fetch.index) || fetch.swarm.fetchesOf(fetch.index).length > 1) continue
      const isLonger =
        longest === undefined ||
        fetch.peer.pipeline.outstandingBytes >= longest.peer.pipeline.outstandingBytes
      if (isLonger) longest = fetch
    }
    if (longest !== undefined) this.#askBackFor(nowMs, peer, longest)
  }

  /**
   * Silence that is longer than usual: whoever is alive gives back what it has not begun and others have as well. Once per
   * silence: what nobody else takes would only lose its place in the peer's queue.
   */
  #askAllBack(nowMs: number, peer: Peer): void {
    const sinceMs = Math.max(peer.lastBlockAtMs, peer.restsUntilMs)
    if (!peer.hasFast || peer.askedAllBackAtMs > sinceMs) return
    peer.askedAllBackAtMs = nowMs
    for (const fetch of peer.fetches) {
      if (fetch.askedBackAtMs !== Number.POSITIVE_INFINITY) continue
      if (peer.swarm.availability[fetch.index]! >= 2) this.#askBackFor(nowMs, undefined, fetch)
    }
  }

  /** What others have too is not waited for any longer. */
  #giveUpUnanswered(nowMs: number, peer: Peer): void {
    for (const fetch of [...peer.fetches]) {
      const isSilent = nowMs - Math.max(fetch.askedBackAtMs, peer.lastBlockAtMs) >= peer.pipeline.overdueMs
      if (fetch.askedBackAtMs === Number.POSITIVE_INFINITY || !isSilent) continue
      if (peer.swarm.availability[fetch.index]! < 2) continue
      this.abandon(fetch)
      peer.restsUntilMs = nowMs + REST_MS
    }
  }

  #askBackFor(nowMs: number, peer: Peer | undefined, fetch: Fetch): void {
    fetch.askedBackAtMs = nowMs
    fetch.promisedTo = peer
    if (peer !== undefined) peer.awaits = fetch
    for (const asked of fetch.peer.requests)
      if (asked.fetch === fetch) this.#state.send(fetch.peer, { kind: 'cancel', ...asked.block })
  }

  /** The piece that a reader waits for, where another peer keeps it waiting and this one would be much sooner. */
  #slowPieceOfReader(nowMs: number, peer: Peer): number | undefined {
    return peer.swarm.readerPositions.find((index) => this.#isWorthAsking(nowMs, peer, index))
  }

  /**
   * End of the game: takes a piece from another peer that will take long for it. One that does not answer loses it at once; one
   * that has begun to send is left to go on beside this one; any other is asked to give it back first.
   * @returns the piece to ask this peer for now, if any
   */
  #takeSlowPiece(nowMs: number, peer: Peer): number | undefined {
    if (peer.swarm.open.setCount > 0 || peer.isOutside) return undefined
    let worst: { index: number; remainingMs: number } | undefined
    for (const index of peer.swarm.fetchedIndexes) {
      if (!this.#isWorthAsking(nowMs, peer, index)) continue
      const remainingMs = this.#remainingMs(nowMs, peer.swarm.fetchesOf(index)[0]!)
      if (worst === undefined || remainingMs > worst.remainingMs) worst = { index, remainingMs }
    }
    if (worst === undefined) return undefined
    const [fetch] = peer.swarm.fetchesOf(worst.index)
    if (this.#isUnanswered(nowMs, fetch!)) {
      this.abandon(fetch!)
      return worst.index
    }
    if (fetch!.arrivedBytes > 0 || !fetch!.peer.hasFast) return worst.index
    if (fetch!.askedBackAtMs === Number.POSITIVE_INFINITY && peer.awaits === undefined)
      this.#askBackFor(nowMs, peer, fetch!)
    return undefined
  }

  /** Whoever could give it back has had the time to say so: the peer is gone, or as good as gone. */
  #isUnanswered(nowMs: number, { peer, arrivedBytes, askedBackAtMs }: Fetch): boolean {
    return arrivedBytes === 0 && nowMs - askedBackAtMs >= peer.pipeline.overdueMs
  }

  #isWorthAsking(nowMs: number, peer: Peer, index: number): boolean {
    const { swarm } = peer
    const fetches = swarm.fetchesOf(index)
    const [fetch] = fetches
    if (fetch === undefined || fetches.length > 1 || fetch.peer === peer || fetch.state !== 'fetching')
      return false
    if (!peer.have.has(index)) return false
    const ownMs = peer.pipeline.expectedMs(peer.pipeline.outstandingBytes + fetch.bytes)
    if (ownMs === undefined) return false
    return this.#remainingMs(nowMs, fetch) > DUPLICATE_FACTOR * ownMs + DUPLICATE_EXTRA_MS
  }

  /** How long a fetch will take yet, as far as can be told: nothing is expected of a peer that is silent too long. */
  #remainingMs(nowMs: number, fetch: Fetch): number {
    const { peer, bytes, askedBytes, startedAtMs } = fetch
    const silentMs = nowMs - Math.max(peer.lastBlockAtMs, peer.requests[0]?.stamp.atMs ?? nowMs)
    if (silentMs > peer.pipeline.overdueMs) return Number.POSITIVE_INFINITY
    // Blocks come in the order in which they were asked for.
    let ahead = bytes - askedBytes
    for (let position = lastOf(peer, fetch); position >= 0; position--)
      ahead += peer.requests[position]!.block.length
    return peer.pipeline.expectedMs(ahead) ?? nowMs - startedAtMs
  }

  #rest(nowMs: number, peer: Peer, ms: number): void {
    peer.restsUntilMs = nowMs + ms
    this.#state.wakeAt(peer.restsUntilMs)
    this.fillSwarm(nowMs, peer.swarm)
  }

  #forgetRequest(peer: Peer, request: Request): void {
    peer.requests.splice(peer.requests.indexOf(request), 1)
    peer.pipeline.given(request.block.length)
    this.#bucket.giveBack(request.block.length)
  }

  /** Gives the fetch's buffer back. */
  #end(fetch: Fetch): void {
    if (fetch.promisedTo !== undefined) fetch.promisedTo.awaits = undefined
    this.#fetches.delete(fetch.id)
    fetch.swarm.removeFetch(fetch)
    this.#receiveBytes -= bufferBytes(fetch.bytes)
    this.#state.effect({ kind: 'release', fetch: fetch.id })
  }

  /** There is room again: first for those peers of whom the least is asked, so that nobody's uplink rests. */
  #feedStarved(nowMs: number): void {
    const starved = this.#starved
    const { size } = starved
    for (let i = 0; i < size && this.#mayHaveRoom; i++) {
      let first: Peer | undefined
      for (const peer of starved) if (first === undefined || isFedBefore(peer, first)) first = peer
      if (first === undefined) return
      starved.delete(first)
      this.fill(nowMs, first)
    }
  }

  get #mayHaveRoom(): boolean {
    return this.#receiveBytes + BUFFER_PAGE_BYTES <= this.#state.limits.receiveBytesMax
  }

  /** Tells the peer whether anything of it is wanted (BEP 3, "interested"). */
  #showInterest(peer: Peer): void {
    const isInterested =
      peer.swarm.isDownloading && (peer.wantedCount > 0 || (peer.isSource && !peer.swarm.have.isFull))
    if (isInterested === peer.amInterested) return
    peer.amInterested = isInterested
    this.#state.send(peer, { kind: isInterested ? 'interested' : 'not-interested' })
  }
}

/** The source first, since nobody else has what it shows; then who has least to do. */
function isFedBefore(a: Peer, b: Peer): boolean {
  if (isShowing(a) !== isShowing(b)) return isShowing(a)
  const difference = a.pipeline.outstandingBytes - b.pipeline.outstandingBytes
  return difference < 0 || (difference === 0 && a.lastBlockAtMs < b.lastBlockAtMs)
}

/** What a piece takes of the buffers. */
export function bufferBytes(pieceBytes: number): number {
  return Math.ceil(pieceBytes / BUFFER_PAGE_BYTES) * BUFFER_PAGE_BYTES
}

/** The position of the fetch's last request among its peer's. */
function lastOf(peer: Peer, fetch: Fetch): number {
  return peer.requests.findLastIndex((asked) => asked.fetch === fetch)
}
