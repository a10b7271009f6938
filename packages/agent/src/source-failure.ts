/** What to throw when a question over HTTP failed: its source's fault by name, the reason of whoever gave up, a bug as what it is. */
import { InvariantError, ShoalError } from '@shoal/core'
import { isTransportFailure } from '@shoal/service'
import { connectionTrouble, cutTrouble } from './connection-trouble.ts'
import { SourceUnavailableError } from './errors.ts'

export interface Asking {
  /** Of whoever waits for the answer. */
  readonly signal?: AbortSignal | undefined
  /** How long the whole answer may take. */
  readonly deadline?: { readonly signal: AbortSignal; readonly ms: number }
  /** Whether headers of an answer have come. */
  readonly hasBegun: boolean
}

export function sourceFailure(
  source: string,
  cause: unknown,
  { signal, deadline, hasBegun }: Asking,
): unknown {
  if (cause instanceof SourceUnavailableError) return cause
  if (signal?.aborted === true) return signal.reason
  const options = { cause, isUnanswered: true }
  if (deadline?.signal.aborted === true) {
    const what = hasBegun ? 'its answer was not complete' : 'it did not answer'
    return new SourceUnavailableError(source, `${what} within ${deadline.ms} ms`, options)
  }
  if (isTransportFailure(cause))
    return new SourceUnavailableError(source, (hasBegun ? cutTrouble : connectionTrouble)(cause), options)
  // What cannot be read, and a name that must not be dialled.
  if (cause instanceof ShoalError && !(cause instanceof InvariantError))
    return new SourceUnavailableError(source, cause.message, { cause, isUnanswered: !hasBegun })
  return cause
}
