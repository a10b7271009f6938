/**
 * What the poller decides: which repository is due, which tags of it to ask for, what a new digest means. Pure.
 *
 * After a start nothing was seen, so every watched tag is told once: what was pushed while nobody looked must not be missed,
 * and telling what is known already costs the receiver one look at its own store.
 */
import type { Digest } from '@shoal/core'
import { isTag } from '@shoal/oci'
import { type Backoff, backoffMs } from './backoff.ts'
import { createPushEvent, fingerprint, type PushEvent } from './push-event.ts'

export interface WatchedRepository {
  readonly registryHost: string
  readonly repository: string
  /** Exact ones, and patterns: `*` is any text, `?` any one character. */
  readonly tags: readonly string[]
}

/** Of one repository. */
export interface PollState {
  readonly nextAtMs: number
  /** In a row. */
  readonly failures: number
  /** What was told, by tag. */
  readonly seen: ReadonlyMap<string, Digest>
}

export interface PollTiming {
  readonly intervalMs: number
  readonly backoff: Backoff
}

export type NextPoll =
  /** Indices of repositories, the longest due first. */
  | { readonly kind: 'poll'; readonly due: readonly number[] }
  | { readonly kind: 'wait'; readonly untilMs: number }

/** The first polls are spread over one interval: a restart does not ask for everything at once. */
export function firstPoll(nowMs: number, { intervalMs }: PollTiming, random: number): PollState {
  return { nextAtMs: nowMs + Math.floor(intervalMs * random), failures: 0, seen: new Map() }
}

/** @param states of the repositories; those being polled are undefined */
export function nextPoll(states: readonly (PollState | undefined)[], nowMs: number): NextPoll {
  const waiting = states.flatMap((state, index) =>
    state === undefined ? [] : [{ index, nextAtMs: state.nextAtMs }],
  )
  const due = waiting
    .filter(({ nextAtMs }) => nextAtMs <= nowMs)
    .sort((a, b) => a.nextAtMs - b.nextAtMs || a.index - b.index)
  if (due.length > 0) return { kind: 'poll', due: due.map(({ index }) => index) }
  return { kind: 'wait', untilMs: Math.min(...waiting.map(({ nextAtMs }) => nextAtMs)) }
}

/** @param found everything that is there now; what is gone is forgotten, so that it is told when it comes back */
export function afterPoll(
  found: ReadonlyMap<string, Digest>,
  nowMs: number,
  timing: PollTiming,
  random: number,
): PollState {
  // Around the interval, not after it: replicas and repositories drift apart instead of together.
  return { nextAtMs: nowMs + Math.round(timing.intervalMs * (0.9 + random / 5)), failures: 0, seen: found }
}

/** @param told what was told before the failure */
export function afterFailure(
  state: PollState,
  told: ReadonlyMap<string, Digest>,
  nowMs: number,
  { backoff }: PollTiming,
  random: number,
): PollState {
  const failures = state.failures + 1
  return { nextAtMs: nowMs + backoffMs(backoff, failures, random), failures, seen: told }
}

/** Whether the repository's tags must be listed, or are all known by name. */
export function needsTagList({ tags }: WatchedRepository): boolean {
  return tags.some(isPattern)
}

/**
 * @param existing the tags that there are, where they were listed
 * @returns the tags to ask for, each once, at most `tagsMax`, and how many were left out for that
 */
export function tagsToPoll(
  { tags }: WatchedRepository,
  existing: readonly string[],
  tagsMax: number,
): { readonly tags: readonly string[]; readonly leftOut: number } {
  const exact = tags.filter((tag) => !isPattern(tag))
  const patterns = tags.filter(isPattern)
  const matching = existing.filter((tag) => isTag(tag) && patterns.some((pattern) => matches(pattern, tag)))
  const all = [...new Set([...exact, ...matching])]
  return { tags: all.slice(0, tagsMax), leftOut: Math.max(0, all.length - tagsMax) }
}

/** @returns the event that tells of a digest, or undefined when it was told before */
export function eventOfDigest(
  { registryHost, repository }: WatchedRepository,
  tag: string,
  digest: Digest,
  {
    seen,
    nowMs,
    intervalMs,
  }: { readonly seen: Digest | undefined; readonly nowMs: number; readonly intervalMs: number },
): PushEvent | undefined {
  if (digest === seen) return undefined
  // The same for all replicas that see it within an interval, another one when a tag comes back to what it was.
  const id = fingerprint(registryHost, repository, tag, digest, Math.floor(nowMs / intervalMs))
  return createPushEvent({ source: 'poll', id, registryHost, repository, tag, digest })
}

/** `*` and `?` only, in time proportional to both lengths: patterns come from configuration, tags from anybody. */
export function matches(pattern: string, text: string): boolean {
  let [at, star, retry] = [0, -1, 0]
  let position = 0
  while (position < text.length) {
    if (pattern[at] === '*') {
      star = at++
      retry = position
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[position])) {
      at++
      position++
    } else if (star !== -1) {
      // The last star takes one character more.
      at = star + 1
      position = ++retry
    } else {
      return false
    }
  }
  while (pattern[at] === '*') at++
  return at === pattern.length
}

function isPattern(tag: string): boolean {
  return /[*?]/.test(tag)
}
