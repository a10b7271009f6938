/**
 * Frames of all announce streams share the event loop with everything else that the seeder serves: so much of them is worked
 * off in one turn of it, the rest waits, and the streams that wait have their turns one after the other. Without that, what
 * the kernel had gathered of some streams was worked off in one piece, for a second, while clients waited for their manifests.
 */

/** Swarms, as `StreamBounds` counts them. The last frame of a turn is worked off whole: one long one, some milliseconds. */
const COST_PER_TURN = 512
/** Frames of one stream that wait: it is paused, so these are what one read has brought. More of them are not kept. */
const WAITING_MAX = 64

export interface TurnsParts<Stream> {
  /** Nothing more is to be read of the stream until `onGoesOn`. */
  onWaits(stream: Stream): void
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
      this.#parts.onWaits(stream)
      return
    }
    works.push(work)
    if (works.length > WAITING_MAX) this.#work(works.shift()!)
  }

  /** The stream is closed. */
  forget(stream: Stream): void {
    this.#waiting.delete(stream)
  }

  #work(work: Work): void {
    this.#next ??= setImmediate(() => this.#turn())
    // One that throws has cost something as well.
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
