/**
 * What goes wrong between a registry that says “something was pushed” and the seeder that acts upon it. No message and no
 * field holds a secret or a value of the payload: they go into logs, and into answers to whoever asks.
 */
import { ShoalError } from '@shoal/core'

/** What goes wrong with what tells of pushes. */
abstract class TriggerError extends ShoalError {}

/** The delivery is not what its sender's format says it should be. Answer 400: sending it again will not help. */
export class TriggerInvalidError extends TriggerError {
  readonly code = 'TRIGGER_INVALID'
  readonly format: string
  /** The place in the delivery: `events[3].target`. */
  readonly where: string

  constructor(format: string, where: string, reason: string) {
    super(`a delivery cannot be read (format: ${format}): ${where} ${reason}`)
    this.format = format
    this.where = where
  }
}

/** The sender did not show that it knows the secret. Answer 403. */
export class TriggerForbiddenError extends TriggerError {
  readonly code = 'TRIGGER_FORBIDDEN'
  readonly format: string
  /** Where the proof is expected, for the person who sets the sender up. */
  readonly expected: string

  constructor(format: string, expected: string) {
    super(`the delivery is not authentic: for the format ${format} the secret is expected as ${expected}`)
    this.format = format
    this.expected = expected
  }
}

/** Nobody may trigger anything until there is a secret. Answer 403. */
export class TriggerSecretUnsetError extends TriggerError {
  readonly code = 'TRIGGER_SECRET_UNSET'
  constructor() {
    super(
      'no trigger secret is configured, so every delivery is refused; configure one and give it to the sender',
    )
  }
}

/** Answer 503 with Retry-After: the senders try again. */
export class TriggerQueueFullError extends TriggerError {
  readonly code = 'TRIGGER_QUEUE_FULL'
  readonly pendingCount: number
  readonly pendingMax: number

  constructor(pendingCount: number, pendingMax: number) {
    super(
      `${pendingCount} events wait and ${pendingMax} may; nothing of the delivery was taken, send it again later`,
    )
    this.pendingCount = pendingCount
    this.pendingMax = pendingMax
  }
}

/** What was begun as often as it may be never came to an end. */
export class AttemptCutError extends TriggerError {
  readonly code = 'TRIGGER_ATTEMPT_CUT'
  constructor() {
    super('the seeder went down in the middle of it')
  }
}
