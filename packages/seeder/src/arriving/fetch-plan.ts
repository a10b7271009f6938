/**
 * Which bytes of a blob that is arriving are fetched next, and by which connection. Pure.
 *
 * One connection goes through the blob in order. Pieces that somebody waits for are fetched beside it, a stretch of a few MiB
 * from each on; the one that goes in order leaves out what is here or on its way, so that no byte comes twice.
 */
import { assert, type Bitfield } from '@shoal/core'

/** Pieces that one connection fetches: from `first` to before `end`. What others take over is taken from its end. */
export interface Stretch {
  readonly first: number
  /** Up to here somebody is likely to wait for it; of one that goes in order that is known of none. */
  readonly wantedEnd: number
  /** What its connection was asked for ends before this piece. */
  readonly askedEnd: number
  /** The piece that it is at. */
  next: number
  end: number
}

export interface FetchPlanInit {
  readonly have: Bitfield
  readonly pieceLength: number
}

/** From a piece that somebody waits for on, so much is fetched out of turn. */
const WANTED_BYTES = 8 * 1024 * 1024
/** Of those the oldest are forgotten: they come in their turn. */
const WANTED_MAX = 64

export class FetchPlan {
  readonly #have: Bitfield
  readonly #pieceLength: number
  readonly #wantedPieces: number
  /** Up to which piece each goes on. */
  readonly #wanted = new Map<number, number>()
  readonly #stretches = new Set<Stretch>()

  constructor({ have, pieceLength }: FetchPlanInit) {
    this.#have = have
    this.#pieceLength = pieceLength
    this.#wantedPieces = Math.ceil(WANTED_BYTES / pieceLength)
  }

  /** Somebody waits for the piece. */
  want(index: number): void {
    this.#want(index, Math.min(this.#have.length, index + this.#wantedPieces))
  }

  /** The first pieces that are neither here nor on their way; undefined when there are none. */
  takeNext(): Stretch | undefined {
    for (let index = this.#have.nextMissing(); index < this.#have.length; ) {
      const taken = this.#stretchOf(index)
      if (taken === undefined) return this.#take(index, this.#have.length, index)
      index = this.#have.nextMissing(taken.end)
    }
    return undefined
  }

  /**
   * A stretch from a piece that somebody waits for, and that does not come at once anyway.
   * @param bytesMax as much as comes in moments: what is left comes after what others wait for
   */
  takeWanted(bytesMax: number): Stretch | undefined {
    for (const [index, wantedEnd] of this.#wanted) {
      const taken = this.#stretchOf(index)
      if (this.#have.has(index)) {
        this.#wanted.delete(index)
        continue
      }
      if (taken !== undefined && index <= taken.next + 1) continue
      const pieces = Math.max(1, Math.floor(bytesMax / this.#pieceLength))
      const end = Math.min(taken?.end ?? this.#have.length, wantedEnd, index + pieces)
      if (taken !== undefined) taken.end = index
      return this.#take(index, end, wantedEnd)
    }
    return undefined
  }

  /** Piece `next` of the stretch is here. @returns whether the stretch goes on */
  advance(stretch: Stretch): boolean {
    assert(this.#stretches.has(stretch), 'a stretch is under way')
    this.#wanted.delete(stretch.next)
    stretch.next++
    if (stretch.next < stretch.end) return true
    if (stretch.next < stretch.wantedEnd) this.#want(stretch.next, stretch.wantedEnd)
    return false
  }

  /** Its connection has ended: what is missing of it is nobody's again, or that one's which would have brought it. */
  release(stretch: Stretch): void {
    this.#stretches.delete(stretch)
    for (const other of this.#stretches)
      if (other.end === stretch.next) other.end = this.#endOf(other.end, other.askedEnd)
  }

  #want(index: number, end: number): void {
    if (this.#have.has(index)) return
    this.#wanted.delete(index)
    this.#wanted.set(index, end)
    const [oldest] = this.#wanted.keys()
    if (this.#wanted.size > WANTED_MAX) this.#wanted.delete(oldest!)
  }

  #take(first: number, endMax: number, wantedEnd: number): Stretch {
    const end = this.#endOf(first + 1, endMax)
    const stretch = { first, next: first, end, askedEnd: end, wantedEnd }
    this.#stretches.add(stretch)
    return stretch
  }

  /** The first piece at or after `from` that is here or on its way, `endMax` at most. */
  #endOf(from: number, endMax: number): number {
    let end = from
    while (end < endMax && !this.#have.has(end) && this.#stretchOf(end) === undefined) end++
    return end
  }

  /** There are as many as connections. */
  #stretchOf(index: number): Stretch | undefined {
    for (const stretch of this.#stretches) if (index >= stretch.next && index < stretch.end) return stretch
    return undefined
  }
}
