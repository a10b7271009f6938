/**
 * The root of every error that Shoal raises on purpose. Pure.
 *
 * Whatever is thrown, returned or rejected with is one of these: a plain `Error`, `TypeError` or `RangeError` from Shoal's code is
 * a bug that Node or a library noticed. The one place for a plain `Error` is the reason that a signal is aborted with or a stream,
 * a socket or a peer's connection is closed with (`abort(new Error('…'))`, `destroy(…)`, `close(…)`): it is a sentence for a log,
 * and nobody branches on it. test/errors.test.ts holds the sources to this.
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
