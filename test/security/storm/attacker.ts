/** Who takes part in a storm: attackers that act again and again, and what they did last, for whoever looks for the reason. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createPrng, type Prng } from '@shoal/core'
import type { World } from './world.ts'

export interface Attacker {
  readonly name: string
  /** How many of this kind act at the same time. */
  readonly atOnce: number
  /**
   * Does one thing, on one connection or a few, and closes them: within `ACTION_MS_MAX`.
   * @param note says what is about to be done, before it is
   */
  act(world: World, prng: Prng, note: (what: string) => void, signal: AbortSignal): Promise<void>
}

export interface Action {
  readonly atMs: number
  readonly attacker: string
  readonly what: string
}

/** An action that takes longer is left alone: the next begins, and its sockets end with the storm. */
const ACTION_MS_MAX = 15_000
const ACTIONS_KEPT = 200
/** Between two actions of one, so that the machine is not only busy with attackers. */
const PAUSE_MS_MAX = 60

export class Storm {
  readonly #recent: Action[] = []
  readonly #counts = new Map<string, number>()
  readonly #startedAtMs = performance.now()

  /** What was done last, the latest last. */
  get recent(): readonly Action[] {
    return this.#recent
  }

  /** Actions by attacker. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts)
  }

  /** Each attacker has chance of its own: the same seed makes it do the same, whatever the others do. */
  async rage(
    attackers: readonly Attacker[],
    world: World,
    { seed, actionsMax, signal }: { seed: number; actionsMax: number; signal: AbortSignal },
  ): Promise<void> {
    const workers = attackers.flatMap((attacker, kind) =>
      Array.from({ length: attacker.atOnce }, (_, n) =>
        this.#work(attacker, world, createPrng(seed + 1_000 * (kind + 1) + n), actionsMax, signal),
      ),
    )
    await Promise.all(workers)
  }

  note(attacker: string, what: string): void {
    this.#recent.push({ atMs: Math.round(performance.now() - this.#startedAtMs), attacker, what })
    if (this.#recent.length > ACTIONS_KEPT) this.#recent.shift()
  }

  async #work(
    attacker: Attacker,
    world: World,
    prng: Prng,
    actionsMax: number,
    signal: AbortSignal,
  ): Promise<void> {
    for (let action = 0; action < actionsMax && !signal.aborted; action++) {
      this.#counts.set(attacker.name, (this.#counts.get(attacker.name) ?? 0) + 1)
      await Promise.race([
        attacker.act(world, prng, (what) => this.note(attacker.name, what), signal),
        pause(ACTION_MS_MAX, signal),
      ])
      await pause(prng.below(PAUSE_MS_MAX), signal)
    }
  }
}

/** Ends early with the storm. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => {})
}
