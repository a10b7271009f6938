export { ACCEPTED_PROOFS, assertAuthentic, type PresentedRequest } from './authenticity.ts'
export type { Backoff } from './backoff.ts'
export { SHOAL_PUSH_TYPE } from './cloud-events.ts'
export { detectFormat, parseTrigger } from './detect.ts'
export * from './errors.ts'
export type { AddOutcome, LedgerLimits } from './event-ledger.ts'
export {
  EVENT_QUEUE_DEFAULTS,
  type EventHandler,
  EventQueue,
  type EventQueueInit,
  type EventQueueParts,
} from './event-queue.ts'
export type { FailedEvent } from './event-records.ts'
export type { FailureVerdict } from './failure-verdict.ts'
export { DELIVERY_EVENTS_MAX, type Delivery } from './payload.ts'
export type { WatchedRepository } from './poll-plan.ts'
export { POLLER_DEFAULTS, Poller, type PollerInit, type PollerParts } from './poller.ts'
export {
  createPushEvent,
  type PublishOrder,
  type PushEvent,
  type PushSource,
  TRIGGER_FORMATS,
  type TriggerFormat,
} from './push-event.ts'
