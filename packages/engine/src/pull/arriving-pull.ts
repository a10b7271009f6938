/**
 * The pull of a blob that the seeder is still receiving itself: its pieces are had from the seeder and from other agents while
 * they come. Pure: `step(nowMs, event) → effects`.
 *
 * The hashes of its pieces are learned one by one, as the seeder finds them; only known pieces are asked of the swarm. For
 * readers that wait, the arrival ladder says whether the seeder is nudged or asked over HTTP. Whether the pieces make up the
 * right blob is known only at its end: then `agreesWith` says whether what was told is so, and the blob's own pull goes on with
 * its pieces and readers.
 */
import {
  assert,
  Bitfield,
  bytesEqual,
  type Digest,
  learnPieceSha256,
  type Metainfo,
  type PeerId,
  pieceCount,
  pieceSha256,
  unknownMetainfo,
} from '@shoal/core'
import { arrivalStep } from './arrival-ladder.ts'
import type { ArrivingPullEffect, ArrivingPullEvent, ArrivingPullView } from './arriving-protocol.ts'
import type { PieceHashes } from './early-hashes.ts'
import { PULL_LIMITS } from './limits.ts'
import { runOfPieces } from './run-of-pieces.ts'

export interface ArrivingPullInit {
  /** This node's: it is no peer of its own. */
  readonly peerId: PeerId
  readonly digest: Digest
  readonly length: number
}

const SHA256_BYTES = 32
const NOTHING: readonly ArrivingPullEffect[] = []

export class ArrivingPull {
  /** Its pieces' hashes are filled in as they are learned. */
  readonly metainfo: Metainfo
  /** Which of them are. */
  readonly known: Bitfield
  readonly #peerId: PeerId
  #view: ArrivingPullView | undefined
  /** Pieces that readers wait for, and since when. */
  readonly #wantedAtMs = new Map<number, number>()
  /** Those of them of which the seeder was told. One that has come is remembered all the same. */
  readonly #nudged = new Set<number>()
  #swarmBytesAtMs: number
  #isFetching = false
  #restsUntilMs = Number.NEGATIVE_INFINITY
  #isLooking = false
  #hasLeft = false

  constructor(nowMs: number, { peerId, digest, length }: ArrivingPullInit) {
    this.#peerId = peerId
    this.metainfo = unknownMetainfo(digest, length)
    this.known = new Bitfield(pieceCount(this.metainfo))
    this.#swarmBytesAtMs = nowMs
  }

  step(nowMs: number, event: ArrivingPullEvent): readonly ArrivingPullEffect[] {
    if (this.#hasLeft) return NOTHING
    switch (event.kind) {
      case 'joined':
        this.#view = event.view
        return [{ kind: 'announce', state: 'leeching' }, { kind: 'download' }]
      case 'pieces-told':
        return this.#learn(event.hashes)
      case 'peers-heard':
        return [{ kind: 'connect', peers: event.peers.filter(({ peerId }) => peerId !== this.#peerId) }]
      case 'imports-heard':
        return [{ kind: 'set-imports', imports: event.imports }]
      case 'bytes-received':
        this.#swarmBytesAtMs = nowMs
        return NOTHING
      case 'reader-waits':
        return this.#look(nowMs)
      case 'fetch-ended':
        this.#isFetching = false
        if (!event.isGood) this.#restsUntilMs = nowMs + PULL_LIMITS.restMs
        return NOTHING
      case 'left':
        this.#hasLeft = true
        return this.#leave()
      case 'timer':
        this.#isLooking = false
        return this.#look(nowMs)
    }
  }

  /** Whether the blob's metainfo says of every piece what was said of it while it arrived, and by which readers have it. */
  agreesWith(metainfo: Metainfo): boolean {
    const told = this.metainfo
    if (metainfo.length !== told.length || metainfo.pieceLength !== told.pieceLength) return false
    for (let index = 0; index < this.known.length; index++)
      if (this.known.has(index) && !bytesEqual(pieceSha256(metainfo, index), pieceSha256(told, index)))
        return false
    return true
  }

  #learn({ first, sha256 }: PieceHashes): readonly ArrivingPullEffect[] {
    const learned: number[] = []
    const count = Math.min(Math.floor(sha256.length / SHA256_BYTES), this.known.length - first)
    for (let at = 0; at < count; at++) {
      const index = first + at
      const piece = sha256.subarray(at * SHA256_BYTES, (at + 1) * SHA256_BYTES)
      if (!this.known.set(index)) {
        if (bytesEqual(pieceSha256(this.metainfo, index), piece)) continue
        // The seeder began anew, and receives something else. What was given to readers cannot be taken back.
        return [{ kind: 'lose', reason: 'the seeder has told other pieces of it before' }]
      }
      learnPieceSha256(this.metainfo, index, piece)
      learned.push(index)
    }
    if (learned.length === 0) return NOTHING
    const come = learned.filter((index) => this.#nudged.has(index))
    return [
      ...come.map((pieceIndex) => ({ kind: 'end-nudge', pieceIndex }) as const),
      { kind: 'learn', pieceIndexes: learned },
    ]
  }

  /** Looks after the pieces that readers wait for, now and again while they do. */
  #look(nowMs: number): ArrivingPullEffect[] {
    if (this.#view === undefined) return []
    const { have, readerPositions } = this.#view
    const wanted = readerPositions().filter((index) => !have.has(index))
    const effects: ArrivingPullEffect[] = []
    for (const pieceIndex of this.#wantedAtMs.keys()) {
      if (wanted.includes(pieceIndex)) continue
      this.#wantedAtMs.delete(pieceIndex)
      if (this.#nudged.delete(pieceIndex)) effects.push({ kind: 'end-nudge', pieceIndex })
    }
    for (const pieceIndex of wanted) {
      const wantedAtMs = this.#wantedAtMs.get(pieceIndex) ?? nowMs
      this.#wantedAtMs.set(pieceIndex, wantedAtMs)
      const step = arrivalStep(nowMs, {
        pieceIndex,
        pieceCount: have.length,
        isKnown: (index) => this.known.has(index),
        firstUnknown: this.known.nextMissing(0),
        wantedAtMs,
        swarmBytesAtMs: this.#swarmBytesAtMs,
        isNudged: this.#nudged.has(pieceIndex),
      })
      if (step === 'nudge') {
        this.#nudged.add(pieceIndex)
        effects.push({ kind: 'nudge', pieceIndex })
      } else if (step === 'fetch' && !this.#isFetching && nowMs >= this.#restsUntilMs)
        effects.push(this.#fetch(pieceIndex))
    }
    if (wanted.length > 0 && !this.#isLooking) {
      this.#isLooking = true
      effects.push({ kind: 'set-timer', atMs: nowMs + PULL_LIMITS.lookMs })
    }
    return effects
  }

  /** A piece that the seeder has, and those behind it. The last is held back until the whole is there. */
  #fetch(first: number): ArrivingPullEffect {
    this.#isFetching = true
    const { have } = this.#view!
    const isWanted = (index: number) => index < have.length - 1 && this.known.has(index) && !have.has(index)
    return { kind: 'fetch', pieceIndexes: runOfPieces(first, this.metainfo.pieceLength, isWanted) }
  }

  #leave(): ArrivingPullEffect[] {
    const effects: ArrivingPullEffect[] = [...this.#nudged].map((pieceIndex) => ({
      kind: 'end-nudge',
      pieceIndex,
    }))
    if (this.#isFetching) effects.push({ kind: 'cancel-fetch' })
    return [...effects, { kind: 'announce-left' }]
  }

  /** What must hold between any two steps: for tests. */
  check(): void {
    for (const index of this.#nudged) assert(this.#wantedAtMs.has(index), 'somebody waits for what is nudged')
    for (const index of this.#wantedAtMs.keys()) assert(index < this.known.length, 'readers wait for pieces')
    assert(!this.#isFetching || this.#view !== undefined, 'nothing is fetched before there is a place for it')
    assert(this.#wantedAtMs.size === 0 || this.#isLooking || this.#hasLeft, 'who waits is looked after')
  }
}
