export { ACCEPTED_PROOFS, assertAuthentic } from './authenticity.ts'
export { SHOAL_PUSH_TYPE } from './cloud-events.ts'
export { detectFormat, parseTrigger } from './detect.ts'
export * from './errors.ts'
export type { AddOutcome } from './event-ledger.ts'
export {
  EVENT_QUEUE_DEFAULTS,
  EventQueue,
} from './event-queue.ts'
export type { FailureVerdict } from './failure-verdict.ts'
export { POLLER_DEFAULTS, Poller } from './poller.ts'
export {
  createPushEvent,
  type PushEvent,
  TRIGGER_FORMATS,
} from './push-event.ts'
