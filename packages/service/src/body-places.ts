/**
 * Places for bodies that are on their way through this process: each has buffers, so there are only so many at a time, fewer
 * for one address than for all. A client that is waited for gives way to who comes; everybody else keeps what he has.
 *
 * Who finds no place waits a moment for one, and of those who wait the last that came is first: in a crowd the others have
 * mostly given up, and who queues a thousand requests at once holds nobody up.
 */
import { FairPlaces, type FairPlacesInit } from '@shoal/engine'
import { OciError } from '@shoal/oci'

export interface BodyOnItsWay {
  /** Where the client is. */
  readonly ip: string
  /** How long the client has been waited for, too little having come of it; 0 while nothing is awaited. */
  stalledMs(): number
  /** Ends it: somebody else has the place. */
  giveWay(): void
}

export interface BodyPlacesInit extends FairPlacesInit {
  /** From when on a client that is waited for may lose its place. */
  readonly stallMs: number
  /** How long somebody waits for a place. */
  readonly patienceMs: number
}

interface Waiter {
  readonly body: BodyOnItsWay
  readonly place: PromiseWithResolvers<void>
}

/** Requests that wait for a place; each is little more than its connection. */
const WAITERS_MAX = 1_024
const LOOK_EVERY_MS = 100
/** So many times longer than others may be waited for, who has no more places than whoever comes. */
const SPARED_FACTOR = 10

export class BodyPlaces {
  readonly #init: BodyPlacesInit
  readonly #places: FairPlaces<BodyOnItsWay>
  readonly #held = new Set<BodyOnItsWay>()
  #waiters: Waiter[] = []
  #looking: NodeJS.Timeout | undefined

  constructor(init: BodyPlacesInit) {
    this.#init = init
    this.#places = new FairPlaces(init)
  }

  /**
   * Resolves when the body has a place, which must be freed.
   * @param signal aborts when the client leaves
   * @throws OciError TOOMANYREQUESTS when none became free in time, or what the signal says
   */
  async take(body: BodyOnItsWay, signal: AbortSignal): Promise<void> {
    if (this.#tryTake(body) === 'taken') return
    this.#markStalled()
    if (this.#tryTake(body) === 'taken') return
    signal.throwIfAborted()
    if (this.#waiters.length >= WAITERS_MAX) throw noPlace()
    const waiter: Waiter = { body, place: Promise.withResolvers() }
    this.#waiters.push(waiter)
    this.#looking ??= setInterval(() => this.#look(), LOOK_EVERY_MS)
    // Taken out of the queue in the same turn: a place given to somebody who has given up would never be given back.
    const leaveWith = (reason: unknown) => {
      this.#forget(waiter)
      waiter.place.reject(reason)
    }
    const giveUp = setTimeout(() => leaveWith(noPlace()), this.#init.patienceMs)
    const leave = () => leaveWith(signal.reason)
    signal.addEventListener('abort', leave, { once: true })
    try {
      await waiter.place.promise
    } finally {
      clearTimeout(giveUp)
      signal.removeEventListener('abort', leave)
    }
  }

  /** Does nothing for a body that has no place. */
  free(body: BodyOnItsWay): void {
    this.#held.delete(body)
    this.#places.free(body)
    if (this.#waiters.length > 0) this.#admit()
  }

  #look(): void {
    this.#markStalled()
    this.#admit()
  }

  #admit(): void {
    const full = new Set<string>()
    for (const waiter of this.#waiters.toReversed()) {
      const { body, place } = waiter
      if (full.has(body.ip)) continue
      const outcome = this.#tryTake(body)
      if (outcome === 'all') return
      if (outcome === 'address') {
        full.add(body.ip)
        continue
      }
      this.#forget(waiter)
      place.resolve()
    }
  }

  #tryTake(body: BodyOnItsWay): 'taken' | 'address' | 'all' {
    const outcome = this.#places.take(body.ip, body, (slow) => this.#isSpared(slow, body))
    if (outcome.kind === 'refused') return outcome.why
    this.#held.add(body)
    this.#places.use(body)
    const { displaced } = outcome
    if (displaced !== undefined) {
      this.#held.delete(displaced)
      displaced.giveWay()
    }
    return 'taken'
  }

  /**
   * Whoever comes again and again is not slow yet each time: he must not push out those who only are slow. They give way to who
   * has less than they have.
   */
  #isSpared(slow: BodyOnItsWay, { ip }: BodyOnItsWay): boolean {
    const hasMore = this.#places.heldBy(slow.ip) > this.#places.heldBy(ip)
    return !hasMore && slow.stalledMs() < SPARED_FACTOR * this.#init.stallMs
  }

  /** Those that were waited for longest give way first. */
  #markStalled(): void {
    const { stallMs } = this.#init
    const stalled: { readonly body: BodyOnItsWay; readonly forMs: number }[] = []
    for (const body of this.#held) {
      const forMs = body.stalledMs()
      if (forMs >= stallMs) stalled.push({ body, forMs })
      else this.#places.use(body)
    }
    for (const { body } of stalled.toSorted((a, b) => b.forMs - a.forMs)) this.#places.rest(body)
  }

  #forget(waiter: Waiter): void {
    this.#waiters = this.#waiters.filter((each) => each !== waiter)
    if (this.#waiters.length > 0) return
    clearInterval(this.#looking)
    this.#looking = undefined
  }
}

/** Runs the work while the body has a place. */
export async function inPlace<T>(
  places: BodyPlaces,
  body: BodyOnItsWay,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  await places.take(body, signal)
  try {
    return await work()
  } finally {
    places.free(body)
  }
}

function noPlace(): OciError {
  return new OciError('TOOMANYREQUESTS', 'too many bodies are on their way here; try again')
}
