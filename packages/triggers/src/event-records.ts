/**
 * What the queue keeps in the origin, and under which keys. Pure.
 *
 * | key | value |
 * | --- | --- |
 * | `events/pending/<time>-<repository>-<subject>-<id>` | an event that waits or is worked upon, with its attempts |
 * | `events/done/<id>` | an event that was seen: where it waits, or since when it is done |
 * | `events/failed/<time>-<id>` | an event that was given up, with the reason |
 * | `events/claims/<bucket>` | who works on a share of the repositories, and until when |
 *
 * The parts of a pending key are hashes, so that a listing alone says which events concern the same repository, which the
 * same tag of it (the subject), and which is the oldest. Bytes in the origin may be of another version or cut short: what
 * cannot be read is undefined.
 */
import { createPushEvent, fingerprint, type PushEvent } from './push-event.ts'

export const PENDING_PREFIX = 'events/pending/'
export const SEEN_PREFIX = 'events/done/'
export const FAILED_PREFIX = 'events/failed/'
const CLAIMS_PREFIX = 'events/claims/'

/** Bounds what is read back; ids and names of an event stay below 3 KiB. */
export const RECORD_BYTES_MAX = 16 * 1024
const REASON_LENGTH_MAX = 1_000
/** Milliseconds since 1970 have 13 digits until the year 2286, and sort as text when they are padded. */
const TIME_DIGITS = 15

export interface PendingKey {
  readonly key: string
  readonly addedAtMs: number
  readonly repositoryHash: string
  readonly subjectHash: string
  readonly idHash: string
}

export interface PendingRecord {
  readonly event: PushEvent
  /** Begun, not finished: counted before the work, so that an event that takes its seeder down is given up as well. */
  readonly attempts: number
  readonly notBeforeMs: number
}

export interface SeenRecord {
  readonly key: string
  readonly isDone: boolean
  readonly atMs: number
}

export interface ClaimRecord {
  /** Empty when nobody. */
  readonly owner: string
  readonly untilMs: number
}

export interface FailedEvent {
  readonly event: PushEvent
  readonly reason: string
  readonly attempts: number
  readonly failedAtMs: number
}

export function pendingKeyOf(event: PushEvent, addedAtMs: number): PendingKey {
  const { registryHost, repository, tag, digest } = event
  const parts = {
    addedAtMs,
    repositoryHash: fingerprint(registryHost, repository).slice(0, 16),
    subjectHash: fingerprint(registryHost, repository, tag ?? digest).slice(0, 16),
    idHash: idHashOf(event),
  }
  const { repositoryHash, subjectHash, idHash } = parts
  return { key: `${PENDING_PREFIX}${time(addedAtMs)}-${repositoryHash}-${subjectHash}-${idHash}`, ...parts }
}

/** @returns undefined for what is no key of ours */
export function parsePendingKey(key: string): PendingKey | undefined {
  const match = /^events\/pending\/(\d{15})-([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{32})$/.exec(key)
  if (match === null) return undefined
  const [, at, repositoryHash, subjectHash, idHash] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
  ]
  return { key, addedAtMs: Number(at), repositoryHash, subjectHash, idHash }
}

export function seenKeyOf(idHash: string): string {
  return `${SEEN_PREFIX}${idHash}`
}

export function failedKeyOf(idHash: string, failedAtMs: number): string {
  return `${FAILED_PREFIX}${time(failedAtMs)}-${idHash}`
}

/**
 * Repositories share 4096 claims: enough that two of a handful rarely meet, and the claims stay few, however many
 * repositories come and go. They stay: there is nothing to gain.
 */
export function claimKeyOf(repositoryHash: string): string {
  return `${CLAIMS_PREFIX}${repositoryHash.slice(0, 3)}`
}

export function encodeRecord(record: PendingRecord | SeenRecord | ClaimRecord | FailedEvent): Uint8Array {
  return Buffer.from(JSON.stringify(record))
}

export function boundedReason(reason: string): string {
  return reason.slice(0, REASON_LENGTH_MAX)
}

export function decodePending(bytes: Uint8Array): PendingRecord | undefined {
  return decode(bytes, ({ event, attempts, notBeforeMs }) =>
    isCount(attempts) && isCount(notBeforeMs)
      ? { event: createPushEvent(event as PushEvent), attempts, notBeforeMs }
      : undefined,
  )
}

export function decodeSeen(bytes: Uint8Array): SeenRecord | undefined {
  return decode(bytes, ({ key, isDone, atMs }) =>
    typeof key === 'string' && typeof isDone === 'boolean' && isCount(atMs)
      ? { key, isDone, atMs }
      : undefined,
  )
}

export function decodeClaim(bytes: Uint8Array): ClaimRecord | undefined {
  return decode(bytes, ({ owner, untilMs }) =>
    typeof owner === 'string' && isCount(untilMs) ? { owner, untilMs } : undefined,
  )
}

export function decodeFailed(bytes: Uint8Array): FailedEvent | undefined {
  return decode(bytes, ({ event, reason, attempts, failedAtMs }) =>
    typeof reason === 'string' && isCount(attempts) && isCount(failedAtMs)
      ? { event: createPushEvent(event as PushEvent), reason, attempts, failedAtMs }
      : undefined,
  )
}

function idHashOf({ source, id }: PushEvent): string {
  return fingerprint(source, id).slice(0, 32)
}

function time(ms: number): string {
  return String(ms).padStart(TIME_DIGITS, '0')
}

function decode<T>(
  bytes: Uint8Array,
  read: (fields: Record<string, unknown>) => T | undefined,
): T | undefined {
  try {
    return read(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch {
    return undefined
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
