/**
 * The events in the origin: taken in once, kept until they are done, given up with a reason. Every step is one small write,
 * in an order in which a crash between two of them loses nothing: at worst an event is worked upon twice.
 *
 * An event is known by a record under its id, written on condition before the event itself, so that the same delivery to two
 * replicas is one event. The record names the pending key; a repeated delivery puts the event back under the same key if
 * a crash had kept it from getting there. Only a worker that holds the repository's claim changes a pending event; an
 * addition may replace it at any time.
 */

import type { Clock } from '@shoal/service'
import { Gate } from '@shoal/service'
import { type ObjectStore, readWhole } from '@shoal/storage'
import { TriggerQueueFullError } from './errors.ts'
import {
  boundedReason,
  decodeFailed,
  decodePending,
  decodeSeen,
  encodeRecord,
  FAILED_PREFIX,
  type FailedEvent,
  failedKeyOf,
  PENDING_PREFIX,
  type PendingKey,
  type PendingRecord,
  parsePendingKey,
  pendingKeyOf,
  RECORD_BYTES_MAX,
  SEEN_PREFIX,
  type SeenRecord,
  seenKeyOf,
} from './event-records.ts'
import type { PushEvent } from './push-event.ts'

export interface LedgerLimits {
  /** Events that may wait; further ones are refused, and their senders try again. */
  readonly pendingMax: number
  /** Events given up that are kept to be looked at, the latest. */
  readonly failedMax: number
  /** An event that is done is not taken again for so long. */
  readonly doneForMs: number
}

export interface AddOutcome {
  readonly added: number
  /** Waiting already, or done not long ago. */
  readonly known: number
  /** Older than what waits for the same tag. */
  readonly outdated: number
}

/** A pending event as it was read. */
export interface PendingEntry extends PendingRecord {
  readonly key: PendingKey
  readonly etag: string
}

const LIST_KEYS = 1_000
/** Senders wait for some seconds at most, and a delivery may have hundreds of events. */
const REQUESTS_AT_ONCE = 16
/** Looked at in one sweep: a day of a busy registry in a few hours, without a burst of requests. */
const SWEEP_KEYS = 500

export class EventLedger {
  readonly #objects: ObjectStore
  readonly #clock: Clock
  readonly #limits: LedgerLimits
  /** Additions of this replica, one after the other: two deliveries at once would not see each other's events. */
  #adding: Promise<unknown> = Promise.resolve()
  #sweptTo: string | undefined

  constructor(parts: { readonly objects: ObjectStore; readonly clock: Clock }, limits: LedgerLimits) {
    this.#objects = parts.objects
    this.#clock = parts.clock
    this.#limits = limits
  }

  /**
   * Only the last state of a tag matters: an event replaces what waits for the same tag, and keeps its place in the line.
   * @throws TriggerQueueFullError when not all of them fit; then none was taken
   */
  add(events: readonly PushEvent[]): Promise<AddOutcome> {
    const mine = this.#adding.then(() => this.#add(events))
    this.#adding = mine.catch(() => {})
    return mine
  }

  /** What waits or is worked upon, the oldest first. */
  async pending(): Promise<readonly PendingKey[]> {
    const keys: PendingKey[] = []
    for await (const key of this.#keys(PENDING_PREFIX)) {
      const parsed = parsePendingKey(key)
      if (parsed !== undefined) keys.push(parsed)
    }
    return keys
  }

  /** @returns undefined when it is not there any more, done already, or cannot be read; the last two are tidied up */
  async read(key: PendingKey): Promise<PendingEntry | undefined> {
    const object = await this.#objects.read(key.key)
    if (object === undefined) return undefined
    const record = decodePending(await readWhole(key.key, object, RECORD_BYTES_MAX))
    const seen = record && (await this.#seen(key.idHash))?.record
    if (record === undefined || (seen?.isDone && seen.key === key.key)) {
      await this.#objects.delete(key.key)
      return undefined
    }
    return { ...record, key, etag: object.etag }
  }

  /** Counts an attempt. @returns undefined when the event was replaced meanwhile */
  begin(entry: PendingEntry): Promise<PendingEntry | undefined> {
    return this.#rewrite(entry, { attempts: entry.attempts + 1 })
  }

  /** Done: forgotten, but for its id. */
  async finish({ key }: PendingEntry): Promise<void> {
    await this.#see(key.idHash, { key: key.key, isDone: true, atMs: this.#clock.nowMs() })
    await this.#objects.delete(key.key)
  }

  /** To be tried again; an event that was replaced meanwhile is not. */
  async postpone(
    entry: PendingEntry,
    change: { readonly attempts?: number; readonly notBeforeMs: number },
  ): Promise<void> {
    await this.#rewrite(entry, change)
  }

  /** Not to be tried again, unless its sender says it again. */
  async giveUp({ key, event, attempts }: PendingEntry, reason: string): Promise<void> {
    const failed = { event, reason: boundedReason(reason), attempts, failedAtMs: this.#clock.nowMs() }
    await this.#objects.put(failedKeyOf(key.idHash, failed.failedAtMs), encodeRecord(failed))
    await this.#objects.delete(seenKeyOf(key.idHash))
    await this.#objects.delete(key.key)
    const keys: string[] = []
    for await (const failedKey of this.#keys(FAILED_PREFIX)) keys.push(failedKey)
    const excess = Math.max(0, keys.length - this.#limits.failedMax)
    for (const oldest of keys.slice(0, excess)) await this.#objects.delete(oldest)
  }

  /** What was given up, the latest first. */
  async failed(countMax: number): Promise<readonly FailedEvent[]> {
    const keys: string[] = []
    for await (const key of this.#keys(FAILED_PREFIX)) keys.push(key)
    const events: FailedEvent[] = []
    for (const key of keys.reverse().slice(0, countMax)) {
      const event = await this.#decoded(key, decodeFailed)
      if (event !== undefined) events.push(event.record)
    }
    return events
  }

  /** Forgets some of the ids that are done for long enough, going on where the last sweep stopped. */
  async sweep(): Promise<void> {
    const page = await this.#objects.list(SEEN_PREFIX, {
      keysMax: SWEEP_KEYS,
      ...(this.#sweptTo !== undefined && { after: this.#sweptTo }),
    })
    this.#sweptTo = page.next
    for (const key of page.keys) {
      const seen = await this.#decoded(key, decodeSeen)
      if (seen !== undefined && this.#isFresh(seen.record)) continue
      // One that waits for days because its registry is away stays known.
      const isWaiting =
        seen?.record.isDone === false && (await this.#objects.stat(seen.record.key)) !== undefined
      if (!isWaiting) await this.#objects.delete(key)
    }
  }

  async #add(events: readonly PushEvent[]): Promise<AddOutcome> {
    const nowMs = this.#clock.nowMs()
    const pending = await this.pending()
    const bySubject = Map.groupBy(pending, ({ subjectHash }) => subjectHash)
    const { fresh, ...outcome } = await this.#sift(events, pending, bySubject)
    const growth = [...fresh.keys()].filter((subjectHash) => !bySubject.has(subjectHash)).length
    const { pendingMax } = this.#limits
    if (growth > 0 && pending.length + growth > pendingMax)
      throw new TriggerQueueFullError(pending.length, pendingMax)
    await this.#forEach(fresh, async ([subjectHash, event]) => {
      const replaced = bySubject.get(subjectHash) ?? []
      if (await this.#put(event, replaced[0]?.addedAtMs ?? nowMs)) outcome.added++
      else outcome.known++
      // Only now: whatever happens in between, one of them is there.
      for (const key of replaced) {
        await this.#see(key.idHash, { key: key.key, isDone: true, atMs: nowMs })
        await this.#objects.delete(key.key)
      }
    })
    return outcome
  }

  /** What of a delivery is to be taken in, by subject: the last of each that is neither known nor older than what waits. */
  async #sift(
    events: readonly PushEvent[],
    pending: readonly PendingKey[],
    bySubject: ReadonlyMap<string, readonly PendingKey[]>,
  ): Promise<AddOutcome & { readonly fresh: ReadonlyMap<string, PushEvent> }> {
    const keyed = events.map((event) => ({ event, ...pendingKeyOf(event, 0) }))
    const known = new Set(pending.map(({ idHash }) => idHash))
    await this.#forEach(new Set(keyed.map(({ idHash }) => idHash)), async (idHash) => {
      if (await this.#isDone(idHash)) known.add(idHash)
    })
    const fresh = new Map<string, PushEvent>()
    const outcome = { added: 0, known: 0, outdated: 0 }
    for (const { event, idHash, subjectHash } of keyed) {
      const rival = fresh.get(subjectHash) ?? (await this.#newestOf(bySubject.get(subjectHash)))
      if (known.has(idHash)) outcome.known++
      else if (rival !== undefined && isOlder(event, rival)) outcome.outdated++
      else {
        if (fresh.has(subjectHash)) outcome.outdated++
        fresh.set(subjectHash, event)
      }
      known.add(idHash)
    }
    return { ...outcome, fresh }
  }

  /** Several at once; in an error only when none is under way any more. */
  async #forEach<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
    const gate = new Gate(REQUESTS_AT_ONCE)
    const outcomes = await Promise.allSettled([...items].map((item) => gate.run(() => work(item))))
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure !== undefined) throw failure.reason
  }

  /** @returns false when another replica has done it meanwhile */
  async #put(event: PushEvent, addedAtMs: number): Promise<boolean> {
    const { key, idHash } = pendingKeyOf(event, addedAtMs)
    const place = await this.#announce(idHash, key)
    if (place === undefined) return false
    const record = { event, attempts: 0, notBeforeMs: 0 }
    await this.#objects.put(place, encodeRecord(record), { ifAbsent: true })
    return true
  }

  /** @returns the key that the event belongs under; undefined when another replica has it done already */
  async #announce(idHash: string, key: string): Promise<string | undefined> {
    const bytes = encodeRecord({ key, isDone: false, atMs: this.#clock.nowMs() })
    const seen = await this.#seen(idHash)
    if (seen !== undefined && !seen.record.isDone) return seen.record.key
    if (seen !== undefined && this.#isFresh(seen.record)) return undefined
    const precondition = seen === undefined ? { ifAbsent: true as const } : { ifMatch: seen.etag }
    const outcome = await this.#objects.put(seenKeyOf(idHash), bytes, precondition)
    if (outcome.kind === 'stored') return key
    const other = await this.#seen(idHash)
    return other?.record.isDone ? undefined : (other?.record.key ?? key)
  }

  async #newestOf(keys: readonly PendingKey[] | undefined): Promise<PushEvent | undefined> {
    const last = keys?.at(-1)
    return last && (await this.#decoded(last.key, decodePending))?.record.event
  }

  async #isDone(idHash: string): Promise<boolean> {
    const seen = (await this.#seen(idHash))?.record
    return seen?.isDone === true && this.#isFresh(seen)
  }

  #isFresh({ atMs }: SeenRecord): boolean {
    return atMs + this.#limits.doneForMs > this.#clock.nowMs()
  }

  async #see(idHash: string, record: SeenRecord): Promise<void> {
    await this.#objects.put(seenKeyOf(idHash), encodeRecord(record))
  }

  #seen(idHash: string): Promise<{ record: SeenRecord; etag: string } | undefined> {
    return this.#decoded(seenKeyOf(idHash), decodeSeen)
  }

  async #rewrite(entry: PendingEntry, change: Partial<PendingRecord>): Promise<PendingEntry | undefined> {
    const { event, attempts, notBeforeMs, key, etag } = entry
    const record = { event, attempts, notBeforeMs, ...change }
    const outcome = await this.#objects.put(key.key, encodeRecord(record), { ifMatch: etag })
    return outcome.kind === 'stored' ? { ...record, key, etag: outcome.etag } : undefined
  }

  async #decoded<T>(
    key: string,
    decode: (bytes: Uint8Array) => T | undefined,
  ): Promise<{ record: T; etag: string } | undefined> {
    const object = await this.#objects.read(key)
    if (object === undefined) return undefined
    const record = decode(await readWhole(key, object, RECORD_BYTES_MAX))
    return record === undefined ? undefined : { record, etag: object.etag }
  }

  async *#keys(prefix: string): AsyncGenerator<string> {
    let after: string | undefined
    do {
      const page = await this.#objects.list(prefix, {
        keysMax: LIST_KEYS,
        ...(after !== undefined && { after }),
      })
      yield* page.keys
      after = page.next
    } while (after !== undefined)
  }
}

/** By the sender's clock, where both have one of the same sender; else what comes later is newer. */
function isOlder(event: PushEvent, other: PushEvent): boolean {
  if (event.source !== other.source) return false
  return (event.occurredAtMs ?? Number.POSITIVE_INFINITY) < (other.occurredAtMs ?? 0)
}
