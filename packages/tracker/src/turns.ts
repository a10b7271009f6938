/**
 * Frames of announce streams share the event loop with everything else that the seeder serves: so much of them is worked off in
 * one turn of it, the rest waits, and the streams that wait have their turns one after the other. Without that, what the kernel
 * had gathered of some streams was worked off in one piece, for a second, while clients waited for their manifests.
 *
 * It is for streams that name what the tracker does not know, which anybody can make up without end: by turns, two thousand
 * agents that announced twenty layers at once took a fifth more of the processor.
 */

/** Swarms, as `StreamBounds` counts them. The last frame of a turn is worked off whole: one long one, some milliseconds. */
const COST_PER_TURN = 512
/** Frames of one stream that wait: it is paused, so these are what one read has brought. More of them are not kept. */
const WAITING_MAX = 64

export interface TurnsParts<Stream> {
  /** @param frames of the stream that wait now: with the second, nothing more is to be read of it until `onGoesOn` */
  onWaits(stream: Stream, frames: number): void
  onGoesOn(stream: Stream): void
}

/** @returns what it cost */
type Work = () => number

export class Turns<Stream extends object> {
  readonly #parts: TurnsParts<Stream>
  /** The works of each stream in the order in which they came; the stream that is next is first. */
  readonly #waiting = new Map<Stream, Work[]>()
  #spent = 0
  #next: NodeJS.Immediate | undefined

  constructor(parts: TurnsParts<Stream>) {
    this.#parts = parts
  }

  /** Now, or in one of the next turns. */
  take(stream: Stream, work: Work): void {
    const works = this.#waiting.get(stream)
    if (works === undefined && this.#spent < COST_PER_TURN) {
      this.#work(work)
      return
    }
    if (works === undefined) {
      this.#waiting.set(stream, [work])
      this.#parts.onWaits(stream, 1)
      return
    }
    works.push(work)
    if (works.length === 2) this.#parts.onWaits(stream, 2)
    if (works.length > WAITING_MAX) this.#work(works.shift()!)
  }

  /** Whether frames of the stream wait. */
  hasWaiting(stream: Stream): boolean {
    return this.#waiting.has(stream)
  }

  /** The stream is closed. */
  forget(stream: Stream): void {
    this.#waiting.delete(stream)
  }

  #work(work: Work): void {
    this.#next ??= setImmediate(() => this.#turn())
    // A frame that throws has cost time, too.
    this.#spent++
    this.#spent += work()
  }

  #turn(): void {
    this.#next = undefined
    this.#spent = 0
    for (const [stream, works] of this.#waiting) {
      if (this.#spent >= COST_PER_TURN) break
      this.#waiting.delete(stream)
      const work = works.shift()!
      if (works.length > 0) this.#waiting.set(stream, works)
      else this.#parts.onGoesOn(stream)
      this.#work(work)
    }
  }
}
