/**
 * Asks registries what the tags of watched repositories are: the safety net under senders that do not send, or send in vain.
 * What to ask when is decided in `poll-plan.ts`; here it is asked, a few repositories at once, each with its own backoff.
 */
import type { Digest } from '@shoal/core'
import type { Clock } from '@shoal/service'
import type { Logger } from 'pino'
import type { Backoff } from './backoff.ts'
import { type JudgeFailure, notBeforeMs } from './failure-verdict.ts'
import {
  afterFailure,
  afterPoll,
  eventOfDigest,
  firstPoll,
  needsTagList,
  nextPoll,
  type PollState,
  type PollTiming,
  tagsToPoll,
  type WatchedRepository,
} from './poll-plan.ts'
import type { PushEvent } from './push-event.ts'

/** The questions must end by themselves, in an error if need be: a poll takes one of few places until it ends. */
export interface PollerParts {
  /** @returns undefined when there is no such tag */
  readonly currentDigest: (
    registryHost: string,
    repository: string,
    tag: string,
    signal: AbortSignal,
  ) => Promise<Digest | undefined>
  readonly tags: (registryHost: string, repository: string, signal: AbortSignal) => Promise<readonly string[]>
  /** A digest counts as told when this resolves. */
  readonly tell: (event: PushEvent) => Promise<unknown>
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly judge: JudgeFailure
  readonly log: Logger
}

export interface PollerInit extends PollTiming {
  readonly watched: readonly WatchedRepository[]
  /** Repositories polled at once; the tags of each are asked for one after the other. */
  readonly atOnceMax: number
  /** Tags of one repository that are asked for in one poll. */
  readonly tagsMax: number
}

export const POLLER_DEFAULTS = {
  intervalMs: 5 * 60 * 1_000,
  backoff: { firstMs: 30_000, maxMs: 60 * 60 * 1_000 } as Backoff,
  atOnceMax: 4,
  tagsMax: 500,
} as const satisfies Omit<PollerInit, 'watched'>

/** Failures after which the rest of a repository is not asked for in this poll. */
const TAG_FAILURES_MAX = 3

export class Poller {
  readonly #parts: PollerParts
  readonly #init: PollerInit
  /** Undefined while it is being polled. */
  readonly #states: (PollState | undefined)[] = []
  readonly #polls = new Set<Promise<void>>()
  readonly #controller = new AbortController()
  #cancelWait = () => {}

  constructor(parts: PollerParts, init: PollerInit) {
    this.#parts = parts
    this.#init = init
  }

  start(): void {
    const { clock, random } = this.#parts
    for (const _ of this.#init.watched) this.#states.push(firstPoll(clock.nowMs(), this.#init, random()))
    this.#pollDue()
  }

  /** Aborts what is being asked, and resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#controller.abort(new Error('the poller stops'))
    this.#cancelWait()
    await Promise.all(this.#polls)
  }

  #pollDue(): void {
    const { clock } = this.#parts
    this.#cancelWait()
    if (this.#controller.signal.aborted) return
    const next = nextPoll(this.#states, clock.nowMs())
    if (next.kind === 'wait') {
      // With everything under way nothing is waited for: the end of a poll looks again.
      if (Number.isFinite(next.untilMs))
        this.#cancelWait = clock.after(next.untilMs - clock.nowMs(), () => this.#pollDue())
      return
    }
    const free = this.#init.atOnceMax - this.#polls.size
    for (const index of next.due.slice(0, free)) this.#begin(index)
    // The rest of what is due begins when a place is free; what becomes due later, too, if none is.
    if (next.due.length < free) this.#pollDue()
  }

  #begin(index: number): void {
    const state = this.#states[index]!
    this.#states[index] = undefined
    const poll = this.#poll(this.#init.watched[index]!, state).then((after) => {
      this.#states[index] = after
      this.#polls.delete(poll)
      this.#pollDue()
    })
    this.#polls.add(poll)
  }

  async #poll(watched: WatchedRepository, state: PollState): Promise<PollState> {
    const { clock, random, judge, log } = this.#parts
    const found = new Map<string, Digest>()
    try {
      await this.#askAll(watched, state, found)
      return afterPoll(found, clock.nowMs(), this.#init, random())
    } catch (error) {
      const { registryHost, repository } = watched
      if (!this.#controller.signal.aborted)
        log.warn(
          { event: 'poll-failed', registryHost, repository, err: error },
          'a repository could not be polled',
        )
      const told = new Map([...state.seen, ...found])
      const after = afterFailure(state, told, clock.nowMs(), this.#init, random())
      return { ...after, nextAtMs: Math.max(after.nextAtMs, notBeforeMs(judge(error))) }
    }
  }

  /**
   * A tag that fails every time does not slow the others down; several, or all of them, are a registry that is away, and one
   * that names a time wants to hear of none before.
   */
  async #askAll(watched: WatchedRepository, state: PollState, found: Map<string, Digest>): Promise<void> {
    const { registryHost, repository } = watched
    const tags = await this.#tagsOf(watched)
    let failures = 0
    for (const tag of tags) {
      try {
        await this.#ask(watched, tag, state, found)
      } catch (error) {
        const isAway = ++failures === Math.min(TAG_FAILURES_MAX, tags.length)
        if (isAway || notBeforeMs(this.#parts.judge(error)) > this.#parts.clock.nowMs()) throw error
        this.#controller.signal.throwIfAborted()
        this.#parts.log.warn(
          { event: 'poll-tag-failed', registryHost, repository, tag, err: error },
          'a tag could not be polled',
        )
        const seen = state.seen.get(tag)
        if (seen !== undefined) found.set(tag, seen)
      }
      this.#controller.signal.throwIfAborted()
    }
  }

  async #tagsOf(watched: WatchedRepository): Promise<readonly string[]> {
    const { registryHost, repository } = watched
    const { signal } = this.#controller
    const existing = needsTagList(watched) ? await this.#parts.tags(registryHost, repository, signal) : []
    const { tags, leftOut } = tagsToPoll(watched, existing, this.#init.tagsMax)
    if (leftOut > 0)
      this.#parts.log.warn(
        { event: 'poll-tags-left-out', registryHost, repository, leftOut },
        'too many tags match',
      )
    return tags
  }

  async #ask(
    watched: WatchedRepository,
    tag: string,
    state: PollState,
    found: Map<string, Digest>,
  ): Promise<void> {
    const { currentDigest, tell, clock } = this.#parts
    const digest = await currentDigest(watched.registryHost, watched.repository, tag, this.#controller.signal)
    if (digest === undefined) return
    const event = eventOfDigest(watched, tag, digest, {
      seen: state.seen.get(tag),
      nowMs: clock.nowMs(),
      intervalMs: this.#init.intervalMs,
    })
    if (event !== undefined) await tell(event)
    found.set(tag, digest)
  }
}
