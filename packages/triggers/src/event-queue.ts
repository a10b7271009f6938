/**
 * Works on the events in the origin: the oldest first, one at a time per repository, several at once, again after failures,
 * also after a restart and beside other replicas. At least once: a handler must bear to see an event twice.
 */

import type { Clock } from '@shoal/service'
import type { ObjectStore } from '@shoal/storage'
import type { Logger } from 'pino'
import { type Backoff, backoffMs } from './backoff.ts'
import { AttemptCutError } from './errors.ts'
import { type Claim, EventClaims } from './event-claims.ts'
import { type AddOutcome, EventLedger, type LedgerLimits, type PendingEntry } from './event-ledger.ts'
import { claimKeyOf, type FailedEvent, type PendingKey } from './event-records.ts'
import { type JudgeFailure, notBeforeMs } from './failure-verdict.ts'
import type { PushEvent } from './push-event.ts'

/** @param signal aborted when the queue stops or another replica took over: what is still done then is done in vain */
export type EventHandler = (event: PushEvent, signal: AbortSignal) => Promise<void>

export interface EventQueueParts {
  readonly objects: ObjectStore
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly judge: JudgeFailure
  readonly log: Logger
}

export interface EventQueueInit extends LedgerLimits {
  /** Names this replica; no two may share it. */
  readonly owner: string
  readonly atOnceMax: number
  readonly attemptsMax: number
  readonly backoff: Backoff
  /** A crashed replica's events are taken over after this. */
  readonly leaseMs: number
  /** How often to look for what other replicas took in. */
  readonly lookMs: number
  readonly sweepMs: number
  /** Handlers may go on for so long when the queue stops. */
  readonly stopGraceMs: number
}

export const EVENT_QUEUE_DEFAULTS = {
  pendingMax: 2_000,
  failedMax: 100,
  doneForMs: 24 * 60 * 60 * 1_000,
  atOnceMax: 4,
  // 5 s doubled to 10 minutes: a registry that is away for an hour and a half is waited for.
  attemptsMax: 16,
  backoff: { firstMs: 5_000, maxMs: 10 * 60 * 1_000 },
  leaseMs: 60_000,
  lookMs: 15_000,
  sweepMs: 60 * 60 * 1_000,
  stopGraceMs: 10_000,
} as const satisfies Omit<EventQueueInit, 'owner'>

/** Renewals in a lease: two may fail. */
const RENEWALS_PER_LEASE = 3

interface Work {
  readonly controller: AbortController
  readonly done: Promise<void>
}

export class EventQueue {
  readonly #parts: EventQueueParts
  readonly #init: EventQueueInit
  readonly #ledger: EventLedger
  readonly #claims: EventClaims
  /** By claim: what this replica works upon. */
  readonly #work = new Map<string, Work>()
  /** Pending keys and claims that need not be looked at before then. */
  readonly #restUntilMs = new Map<string, number>()
  #handler: EventHandler | undefined
  #looking: Promise<void> | undefined
  #mustLookAgain = false
  #isStopping = false
  #cancelLook = () => {}
  #cancelSweep = () => {}

  constructor(parts: EventQueueParts, init: EventQueueInit) {
    this.#parts = parts
    this.#init = init
    this.#ledger = new EventLedger(parts, init)
    this.#claims = new EventClaims(parts, init)
  }

  /**
   * Resolves when the events are in the origin and will be worked upon, whatever happens to this process.
   * @throws TriggerQueueFullError
   */
  async add(events: readonly PushEvent[]): Promise<AddOutcome> {
    const outcome = await this.#ledger.add(events)
    if (outcome.added > 0) this.#look()
    return outcome
  }

  async pendingCount(): Promise<number> {
    return (await this.#ledger.pending()).length
  }

  /** What was given up, the latest first. */
  failed(countMax: number): Promise<readonly FailedEvent[]> {
    return this.#ledger.failed(countMax)
  }

  start(handler: EventHandler): void {
    this.#handler = handler
    this.#look()
    this.#sweepLater()
  }

  /** Resolves when no handler runs any more. What was not finished is taken up after the next start, or by others. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#cancelLook()
    this.#cancelSweep()
    await this.#looking
    const cancelGrace = this.#parts.clock.after(this.#init.stopGraceMs, () => {
      for (const { controller } of this.#work.values()) controller.abort(new Error('the queue stops'))
    })
    await Promise.all([...this.#work.values()].map(({ done }) => done))
    cancelGrace()
  }

  /** Looks for work now, or once more after the look that is under way. */
  #look(): void {
    if (this.#handler === undefined || this.#isStopping) return
    if (this.#looking !== undefined) {
      this.#mustLookAgain = true
      return
    }
    this.#cancelLook()
    this.#looking = this.#lookAndRest().finally(() => {
      this.#looking = undefined
      if (!this.#mustLookAgain) return
      this.#mustLookAgain = false
      this.#look()
    })
  }

  async #lookAndRest(): Promise<void> {
    const { clock, random, log } = this.#parts
    // Replicas that were started together do not look together.
    let restMs = this.#init.lookMs * (0.75 + random() / 4)
    try {
      await this.#takeUp(await this.#ledger.pending())
      const earliestMs = Math.min(...this.#restUntilMs.values())
      restMs = Math.max(0, Math.min(restMs, earliestMs - clock.nowMs()))
    } catch (error) {
      log.warn(
        { event: 'event-queue-unreadable', err: error },
        'the queue could not be read, and will be again',
      )
    }
    if (!this.#isStopping) this.#cancelLook = clock.after(restMs, () => this.#look())
  }

  /** Begins as many as may run at once. */
  async #takeUp(pending: readonly PendingKey[]): Promise<void> {
    const nowMs = this.#parts.clock.nowMs()
    for (const [key, untilMs] of this.#restUntilMs) if (untilMs <= nowMs) this.#restUntilMs.delete(key)
    for (const key of pending) {
      if (this.#isStopping || this.#work.size >= this.#init.atOnceMax) return
      const claimKey = claimKeyOf(key.repositoryHash)
      if (this.#work.has(claimKey) || this.#restUntilMs.has(claimKey) || this.#restUntilMs.has(key.key))
        continue
      await this.#take(key, claimKey)
    }
  }

  async #take(key: PendingKey, claimKey: string): Promise<void> {
    const read = await this.#ledger.read(key)
    if (read === undefined) return
    const nowMs = this.#parts.clock.nowMs()
    if (read.notBeforeMs > nowMs) {
      this.#restUntilMs.set(key.key, read.notBeforeMs)
      return
    }
    const outcome = await this.#claims.claim(key.repositoryHash)
    if (outcome.kind === 'held') {
      // It may be released before its time, so it is tried again at the next look.
      this.#restUntilMs.set(claimKey, Math.min(outcome.untilMs, nowMs + this.#init.lookMs))
      return
    }
    const { claim } = outcome
    const entry = await this.#ledger.begin(read)
    if (entry === undefined) {
      // Whoever had the claim until now finished or postponed the event, or it was replaced.
      await this.#claims.release(claim)
      this.#mustLookAgain = true
      return
    }
    const controller = new AbortController()
    const done = this.#run(entry, claim, controller).finally(() => {
      this.#work.delete(claimKey)
      this.#look()
    })
    this.#work.set(claimKey, { controller, done })
  }

  /** Resolves in any case: what goes wrong here is tried again by whoever looks next. */
  async #run(entry: PendingEntry, claim: Claim, controller: AbortController): Promise<void> {
    const { log } = this.#parts
    const { repository, tag, digest } = entry.event
    const about = { repository, tag, digest, attempt: entry.attempts }
    const keeping = this.#keepClaim(claim, controller)
    try {
      const failure = await this.#attempt(entry, controller.signal)
      await keeping.stop()
      if (failure === undefined) {
        await this.#ledger.finish(entry)
        log.info({ event: 'push-event-done', ...about }, 'push event done')
      } else if (!keeping.isLost) {
        await this.#postponeOrGiveUp(entry, failure.error, controller.signal)
      }
      if (!keeping.isLost) await this.#claims.release(claim)
    } catch (error) {
      await keeping.stop()
      log.warn(
        { event: 'push-event-unsettled', ...about, err: error },
        'push event will be worked upon again',
      )
    }
  }

  async #attempt(
    { event, attempts }: PendingEntry,
    signal: AbortSignal,
  ): Promise<{ error: unknown } | undefined> {
    // Counted before the work: whatever made this many attempts end without a word would end the next one as well.
    if (attempts > this.#init.attemptsMax) return { error: new AttemptCutError() }
    try {
      await this.#handler!(event, signal)
      return undefined
    } catch (error) {
      return { error }
    }
  }

  async #postponeOrGiveUp(entry: PendingEntry, error: unknown, signal: AbortSignal): Promise<void> {
    const { clock, random, judge, log } = this.#parts
    const { attempts, event } = entry
    const { repository, tag, digest } = event
    const about = { repository, tag, digest, attempt: attempts }
    const reason = error instanceof Error ? error.message : String(error)
    const verdict = judge(error)
    if (signal.aborted) {
      // The queue stops: that was no attempt.
      await this.#ledger.postpone(entry, { attempts: attempts - 1, notBeforeMs: 0 })
    } else if (verdict.kind === 'give-up') {
      await this.#ledger.giveUp(entry, reason)
      log.warn(
        { event: 'push-event-given-up', ...about, reason },
        'push event given up: trying again cannot help',
      )
    } else if (attempts >= this.#init.attemptsMax) {
      await this.#ledger.giveUp(entry, reason)
      log.error({ event: 'push-event-given-up', ...about, err: error }, 'push event given up')
    } else {
      const nowMs = clock.nowMs()
      const untilMs = Math.max(
        nowMs + backoffMs(this.#init.backoff, attempts, random()),
        notBeforeMs(verdict),
      )
      await this.#ledger.postpone(entry, { notBeforeMs: untilMs })
      log.warn(
        { event: 'push-event-postponed', ...about, err: error, waitMs: untilMs - nowMs },
        'push event failed, will be tried again',
      )
    }
  }

  /** Renews the claim until it is stopped; aborts the work when that does not succeed in time. */
  #keepClaim(claim: Claim, controller: AbortController): { stop(): Promise<void>; readonly isLost: boolean } {
    const { clock, log } = this.#parts
    const everyMs = this.#init.leaseMs / RENEWALS_PER_LEASE
    let cancel = () => {}
    let renewing: Promise<void> = Promise.resolve()
    let isOver = false
    let isLost = false
    const renew = async () => {
      const isHeld = await this.#claims.renew(claim).catch((error: unknown) => {
        log.warn({ event: 'claim-not-renewed', err: error }, 'a claim could not be renewed')
        return clock.nowMs() + everyMs < claim.untilMs
      })
      isLost = !isHeld
      if (isLost) controller.abort(new Error('another replica takes over'))
      else if (!isOver) renewLater()
    }
    const renewLater = () => {
      cancel = clock.after(everyMs, () => {
        renewing = renew()
      })
    }
    renewLater()
    return {
      get isLost() {
        return isLost
      },
      // A renewal under way is waited for: a claim is released with the tag that the renewal left.
      async stop() {
        isOver = true
        cancel()
        await renewing
      },
    }
  }

  #sweepLater(): void {
    const { clock, log } = this.#parts
    this.#cancelSweep = clock.after(this.#init.sweepMs, async () => {
      await this.#ledger
        .sweep()
        .catch((error: unknown) => log.warn({ event: 'event-sweep-failed', err: error }, 'sweep failed'))
      if (!this.#isStopping) this.#sweepLater()
    })
  }
}
