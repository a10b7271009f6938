/**
 * The root of every error that Shoal raises on purpose. Pure.
 *
 * Each family (storage, wire, swarm, …) derives one abstract class from it, each failure one class from that.
 * Callers branch on the class or the code, never on the message; the message says what happened, to what,
 * and what to do.
 */
export abstract class ShoalError extends Error {
  abstract readonly code: string

  override get name(): string {
    return this.constructor.name
  }
}

/** Something that the code promised itself does not hold: a bug, never bad input. */
export class InvariantError extends ShoalError {
  readonly code = 'INVARIANT'
}

/** @throws InvariantError when `condition` does not hold; `promise` says what should have been true. */
export function assert(condition: unknown, promise: string): asserts condition {
  if (!condition) throw new InvariantError(`this should hold, and does not: ${promise}`)
}

/** What was typed or configured cannot be used; a command ends with status 2. */
export abstract class UsageError extends ShoalError {}
