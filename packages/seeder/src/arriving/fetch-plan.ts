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

/** As agents fetch from a seeder: some pieces, not a request for each. */
const WANTED_STRETCH_BYTES = 8 * 1024 * 1024
/** Of those the oldest are forgotten: they come in their turn. */
const WANTED_MAX = 64

export class FetchPlan {
  readonly #have: Bitfield
  readonly #stretchPieces: number
  readonly #wanted = new Set<number>()
  readonly #stretches = new Set<Stretch>()

  constructor({ have, pieceLength }: FetchPlanInit) {
    this.#have = have
    this.#stretchPieces = Math.ceil(WANTED_STRETCH_BYTES / pieceLength)
  }

  /** Somebody waits for the piece. */
  want(index: number): void {
    if (this.#have.has(index)) return
    this.#wanted.delete(index)
    this.#wanted.add(index)
    const [oldest] = this.#wanted
    if (this.#wanted.size > WANTED_MAX) this.#wanted.delete(oldest!)
  }

  /** The first pieces that are neither here nor on their way; undefined when there are none. */
  takeNext(): Stretch | undefined {
    for (let index = this.#have.nextMissing(); index < this.#have.length; ) {
      const taken = this.#stretchOf(index)
      if (taken === undefined) return this.#take(index, this.#have.length)
      index = this.#have.nextMissing(taken.end)
    }
    return undefined
  }

  /** A stretch from a piece that somebody waits for, and that does not come at once anyway. */
  takeWanted(): Stretch | undefined {
    for (const index of this.#wanted) {
      const taken = this.#stretchOf(index)
      if (this.#have.has(index)) {
        this.#wanted.delete(index)
        continue
      }
      if (taken !== undefined && index <= taken.next + 1) continue
      const end = Math.min(taken?.end ?? this.#have.length, index + this.#stretchPieces)
      if (taken !== undefined) taken.end = index
      return this.#take(index, end)
    }
    return undefined
  }

  /** Piece `next` of the stretch is here. @returns whether the stretch goes on */
  advance(stretch: Stretch): boolean {
    assert(this.#stretches.has(stretch), 'a stretch is under way')
    this.#wanted.delete(stretch.next)
    stretch.next++
    return stretch.next < stretch.end
  }

  /** Its connection has ended: what is missing of it is nobody's again, or that one's which would have brought it. */
  release(stretch: Stretch): void {
    this.#stretches.delete(stretch)
    for (const other of this.#stretches)
      if (other.end === stretch.next) other.end = this.#endOf(other.end, other.askedEnd)
  }

  #take(first: number, endMax: number): Stretch {
    const end = this.#endOf(first + 1, endMax)
    const stretch = { first, next: first, end, askedEnd: end }
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
