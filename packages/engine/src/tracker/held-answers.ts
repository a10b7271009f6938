/**
 * When a standard client's announce is answered: as soon as the seeder can serve peers of that swarm. Pure:
 * `step(nowMs, event) → effects`.
 *
 * A client dials the moment it has its answer, and a seeder that has not joined the swarm yet hangs up. Some try again;
 * rtorrent 0.9.8 does not. So the answer waits, not for ever, and not for everybody: what waits is bounded for all and for each
 * address. Who is not waited for is answered at once, and must not be told of the seeder.
 */

import type { InfoHash } from '@shoal/core'
import { FairPlaces } from '../policy/fair-places.ts'

export interface HeldAnswersLimits {
  readonly heldMax: number
  readonly heldPerAddressMax: number
  readonly holdMs: number
}

export const HELD_ANSWERS_LIMITS: HeldAnswersLimits = {
  // Each is a request that waits for its answer, some kilobytes.
  heldMax: 1_024,
  heldPerAddressMax: 256,
  // A join takes milliseconds from a folder, some reads of a bucket at most; clients wait for trackers for 10 s and more.
  holdMs: 2_000,
}

export type HeldAnswersEvent =
  /** @property id of the answer, never used twice @property ip who waits for it */
  | { readonly kind: 'asked'; readonly id: number; readonly ip: string; readonly infoHash: InfoHash }
  /** Answers `join`. */
  | { readonly kind: 'joined'; readonly infoHash: InfoHash; readonly isServed: boolean }
  /** Nobody waits for it any more. */
  | { readonly kind: 'gone'; readonly id: number }
  | { readonly kind: 'timer' }

export type HeldAnswersEffect =
  /** The seeder joins the swarm if it has not; `joined` says how that ended. */
  | { readonly kind: 'join'; readonly infoHash: InfoHash }
  /** @property isServed whether the seeder may be among the peers that it names */
  | { readonly kind: 'answer'; readonly id: number; readonly isServed: boolean }
  | { readonly kind: 'set-timer'; readonly atMs: number }

interface Held {
  readonly id: number
  readonly infoHash: InfoHash
  readonly untilMs: number
}

export class HeldAnswers {
  readonly #limits: HeldAnswersLimits
  readonly #places: FairPlaces<Held>
  /** In the order in which they were asked for: all are held equally long. */
  readonly #held = new Map<number, Held>()
  readonly #joining = new Map<InfoHash, Set<Held>>()

  constructor(init: { readonly limits?: HeldAnswersLimits } = {}) {
    this.#limits = init.limits ?? HELD_ANSWERS_LIMITS
    const { heldMax, heldPerAddressMax } = this.#limits
    this.#places = new FairPlaces({ placesMax: heldMax, placesPerAddressMax: heldPerAddressMax })
  }

  get heldCount(): number {
    return this.#held.size
  }

  step(nowMs: number, event: HeldAnswersEvent): readonly HeldAnswersEffect[] {
    switch (event.kind) {
      case 'asked':
        return this.#asked(nowMs, event)
      case 'joined':
        return this.#joined(event)
      case 'gone':
        this.#forget(this.#held.get(event.id))
        return []
      case 'timer':
        return this.#expire(nowMs)
    }
  }

  #asked(
    nowMs: number,
    { id, ip, infoHash }: Extract<HeldAnswersEvent, { kind: 'asked' }>,
  ): HeldAnswersEffect[] {
    const held: Held = { id, infoHash, untilMs: nowMs + this.#limits.holdMs }
    if (this.#places.take(ip, held).kind === 'refused') return [{ kind: 'answer', id, isServed: false }]
    this.#places.use(held)
    const isFirst = this.#held.size === 0
    this.#held.set(id, held)
    const effects: HeldAnswersEffect[] = isFirst ? [{ kind: 'set-timer', atMs: held.untilMs }] : []
    const waiting = this.#joining.get(infoHash)
    if (waiting === undefined) {
      this.#joining.set(infoHash, new Set([held]))
      effects.push({ kind: 'join', infoHash })
    } else waiting.add(held)
    return effects
  }

  #joined({ infoHash, isServed }: Extract<HeldAnswersEvent, { kind: 'joined' }>): HeldAnswersEffect[] {
    const waiting = [...(this.#joining.get(infoHash) ?? [])]
    this.#joining.delete(infoHash)
    for (const held of waiting) this.#forget(held)
    return waiting.map(({ id }) => ({ kind: 'answer', id, isServed }))
  }

  #expire(nowMs: number): HeldAnswersEffect[] {
    const effects: HeldAnswersEffect[] = []
    for (const held of this.#held.values()) {
      if (held.untilMs > nowMs) return [...effects, { kind: 'set-timer', atMs: held.untilMs }]
      this.#forget(held)
      effects.push({ kind: 'answer', id: held.id, isServed: false })
    }
    return effects
  }

  #forget(held: Held | undefined): void {
    if (held === undefined) return
    this.#held.delete(held.id)
    this.#places.free(held)
    // A join that is under way is not begun again for who comes next.
    this.#joining.get(held.infoHash)?.delete(held)
  }
}
