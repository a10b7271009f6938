/**
 * Which blobs are fetched from other registries now, and which wait. Pure: time and what was received are arguments.
 *
 * Eight fetches of one registry have a place. What a place is for is progress: a fetch that brings less than the floor does not
 * hold one that others wait for, it goes on beside the places. So a registry that trickles ten blobs does not keep the others
 * waiting, neither those of another registry nor its own. All of it is bounded: by registry, and in all, where a registry that
 * has nothing under way yet is let in although the others are many.
 *
 * Among those that wait the registry with the fewest fetches is first, then the repository with the fewest, then whoever came
 * first. When a registry has all that it may have, its slow ones take turns with those that wait.
 */
import { assert } from '@shoal/core'

export interface Fetch {
  readonly host: string
  /** Of that registry. */
  readonly repository: string
  /** Whether it can be gone on with by another connection: else it keeps its place until its end. */
  readonly mayGiveWay: boolean
  /** Of the blob, so far. */
  readonly receivedBytes: number
}

export type FetchEvent<Each extends Fetch> =
  | { readonly kind: 'asked' | 'ended'; readonly fetch: Each }
  /** Time has passed; to be said every second while anything is under way. */
  | { readonly kind: 'tick' }

export type FetchEffect<Each extends Fetch> = {
  /** `give-way`: it is to stop, say `ended`, and may ask again. */
  readonly kind: 'begin' | 'give-way'
  readonly fetch: Each
}

export const FETCH_LIMITS = {
  /** Of one registry: enough for one that limits each connection, few enough for its rate limits. */
  placesPerHost: 8,
  /** Of one registry, with those that go on beside the places. */
  perHostMax: 24,
  perAllMax: 32,
  /** With registries that have nothing else under way. */
  everMax: 48,
  /** 1 MiB/s: eight that bring less than this together do not fill a link. */
  floorBytesPerSecond: 1024 * 1024,
  /** Rates are measured over so long. */
  windowMs: 2_000,
  /** A slow one keeps on for so long before it gives way: every turn costs a connection. */
  turnMs: 10_000,
}

interface Running {
  readonly beganAtMs: number
  isSlow: boolean
  isGivingWay: boolean
  markMs: number
  markBytes: number
}

export class FetchPlaces<Each extends Fetch> {
  /** First come, first. */
  readonly #waiting = new Set<Each>()
  readonly #running = new Map<Each, Running>()

  get runningCount(): number {
    return this.#running.size
  }

  get waitingCount(): number {
    return this.#waiting.size
  }

  step(nowMs: number, event: FetchEvent<Each>): readonly FetchEffect<Each>[] {
    if (event.kind === 'asked') {
      assert(
        !this.#running.has(event.fetch) && !this.#waiting.has(event.fetch),
        'a fetch asks once at a time',
      )
      this.#waiting.add(event.fetch)
    } else if (event.kind === 'ended') {
      this.#waiting.delete(event.fetch)
      this.#running.delete(event.fetch)
    } else {
      this.#measure(nowMs)
    }
    const effects = [...this.#begin(nowMs)]
    if (event.kind === 'tick') effects.push(...this.#makeWay(nowMs))
    return effects
  }

  #measure(nowMs: number): void {
    for (const [{ receivedBytes }, running] of this.#running) {
      const elapsedMs = nowMs - running.markMs
      if (elapsedMs < FETCH_LIMITS.windowMs) continue
      const bytesPerSecond = ((receivedBytes - running.markBytes) * 1_000) / elapsedMs
      running.isSlow = bytesPerSecond < FETCH_LIMITS.floorBytesPerSecond
      running.markMs = nowMs
      running.markBytes = receivedBytes
    }
  }

  *#begin(nowMs: number): Generator<FetchEffect<Each>> {
    for (;;) {
      const next = this.#next()
      if (next === undefined) return
      this.#waiting.delete(next)
      const { receivedBytes } = next
      this.#running.set(next, {
        beganAtMs: nowMs,
        isSlow: false,
        isGivingWay: false,
        markMs: nowMs,
        markBytes: receivedBytes,
      })
      yield { kind: 'begin', fetch: next }
    }
  }

  #next(): Each | undefined {
    let found: { fetch: Each; ofHost: number; ofRepository: number } | undefined
    for (const fetch of this.#waiting) {
      const ofHost = this.#count((other) => other.host === fetch.host)
      if (!this.#mayBegin(fetch, ofHost)) continue
      const ofRepository = this.#count((other) => isOfSameRepository(other, fetch))
      const isBetter =
        found === undefined ||
        ofHost < found.ofHost ||
        (ofHost === found.ofHost && ofRepository < found.ofRepository)
      if (isBetter) found = { fetch, ofHost, ofRepository }
    }
    return found?.fetch
  }

  #mayBegin({ host }: Each, ofHost: number): boolean {
    const { placesPerHost, perHostMax, perAllMax, everMax } = FETCH_LIMITS
    if (this.#running.size >= (ofHost === 0 ? everMax : perAllMax) || ofHost >= perHostMax) return false
    return this.#count((other, { isSlow }) => other.host === host && !isSlow) < placesPerHost
  }

  /** Of a registry that has all that it may have, one slow fetch for each that waits. */
  *#makeWay(nowMs: number): Generator<FetchEffect<Each>> {
    for (const host of new Set([...this.#waiting].map((fetch) => fetch.host))) {
      const isFull =
        this.#running.size >= FETCH_LIMITS.perAllMax ||
        this.#count((other) => other.host === host) >= FETCH_LIMITS.perHostMax
      if (!isFull) continue
      const waiting = [...this.#waiting].filter((fetch) => fetch.host === host).length
      const leaving = this.#count((other, { isGivingWay }) => other.host === host && isGivingWay)
      const slow = [...this.#running]
        .filter(([fetch, running]) => {
          const isTurnOver = nowMs - running.beganAtMs >= FETCH_LIMITS.turnMs
          return (
            fetch.host === host && fetch.mayGiveWay && running.isSlow && !running.isGivingWay && isTurnOver
          )
        })
        .toSorted(([, a], [, b]) => a.beganAtMs - b.beganAtMs)
        .slice(0, Math.max(0, waiting - leaving))
      for (const [fetch, running] of slow) {
        running.isGivingWay = true
        yield { kind: 'give-way', fetch }
      }
    }
  }

  #count(isMeant: (fetch: Each, running: Running) => boolean): number {
    let count = 0
    for (const [fetch, running] of this.#running) if (isMeant(fetch, running)) count++
    return count
  }
}

function isOfSameRepository(one: Fetch, other: Fetch): boolean {
  return one.host === other.host && one.repository === other.repository
}
