/**
 * That something was pushed somewhere, whoever told us. Pure.
 *
 * Everything in it was said by a sender, who is authentic but may be wrong: which registries and repositories may be acted
 * upon is for the receiver to decide, `registryHost` above all.
 */
import { createHash } from 'node:crypto'
import { type Digest, tryParseDigest } from '@shoal/core'
import { isRepositoryName, isTag, looksLikeHost } from '@shoal/oci'
import { TriggerInvalidError } from './errors.ts'

export const TRIGGER_FORMATS = [
  'distribution',
  'harbor',
  'quay',
  'ecr',
  'artifactory',
  'dockerhub',
  'ghcr',
  'cloudevents',
] as const
export type TriggerFormat = (typeof TRIGGER_FORMATS)[number]

/** Whoever told us: a sender, our own poller, or somebody who asked for it by name. */
export type PushSource = TriggerFormat | 'poll' | 'publish'

/** What somebody who asks by name may want beside the image itself. */
export interface PublishOrder {
  readonly reference: string
  /** `registry/repository` that it is copied from, where its own name does not say it. */
  readonly from?: string
  readonly platforms?: readonly string[]
  /** The nodes that should have it. */
  readonly warm?: string
}

/** UUIDs have 36 characters; CloudEvents set no limit, and their source is part of the identity. */
const ID_LENGTH_MAX = 1024
/** The last instant that a Date can hold. */
const TIME_MAX_MS = 8.64e15
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/i

export interface PushEvent {
  readonly source: PushSource
  /** What makes a repeated delivery recognisable: the sender's own id, else a hash of what matters. */
  readonly id: string
  /** With the port where there is one; absent when the sender does not say, or says nothing that a reference could hold. */
  readonly registryHost?: string
  readonly repository: string
  /** At least one of tag and digest is there. */
  readonly tag?: string
  /** What was pushed. With a tag a hint only: events come late and out of order, and the tag may mean something else by now. */
  readonly digest?: Digest
  readonly occurredAtMs?: number
  /** Only of source `publish`. */
  readonly order?: PublishOrder
}

export interface PushEventInit {
  readonly source: PushSource
  readonly id: string
  readonly registryHost?: string | undefined
  readonly repository: string
  readonly tag?: string | undefined
  readonly digest?: string | undefined
  readonly occurredAtMs?: number | undefined
  readonly order?: PublishOrder | undefined
}

/**
 * @param where the place in the delivery, for messages
 * @throws TriggerInvalidError
 */
export function createPushEvent(init: PushEventInit, where = 'the event'): PushEvent {
  const { source, id, registryHost, repository, tag, occurredAtMs } = init
  const refuse = (reason: string) => new TriggerInvalidError(source, where, reason)
  if (id === '' || id.length > ID_LENGTH_MAX)
    throw refuse(`has an id that is empty or over ${ID_LENGTH_MAX} long`)
  if (registryHost !== undefined && !looksLikeHost(registryHost))
    throw refuse('has a registry that is no host')
  if (!isRepositoryName(repository)) throw refuse('has a repository that is no repository name')
  if (tag !== undefined && !isTag(tag)) throw refuse('has a tag that is not one')
  const digest = init.digest === undefined ? undefined : tryParseDigest(init.digest)
  if (init.digest !== undefined && digest === undefined) throw refuse('has a digest that is not one')
  if (tag === undefined && digest === undefined) throw refuse('names neither a tag nor a digest')
  return {
    source,
    id,
    repository,
    ...(registryHost !== undefined && { registryHost }),
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
    ...(occurredAtMs !== undefined && isTime(occurredAtMs) && { occurredAtMs }),
    ...(source === 'publish' && init.order !== undefined && { order: init.order }),
  }
}

/** A stable id for an event whose sender gives it none. */
export function fingerprint(...parts: readonly (string | number | undefined)[]): string {
  return createHash('sha256')
    .update(JSON.stringify(parts.map((part) => part ?? null)))
    .digest('hex')
}

/** A host that was derived from something else, such as a URL; one that no reference could hold is as good as none. */
export function hostIfUsable(host: string | undefined): string | undefined {
  const lower = host?.toLowerCase()
  return lower !== undefined && looksLikeHost(lower) ? lower : undefined
}

/** The host of an absolute http(s) URL. */
export function hostOfUrl(url: string | undefined): string | undefined {
  if (url === undefined || !/^https?:\/\//i.test(url) || !URL.canParse(url)) return undefined
  return hostIfUsable(new URL(url).host)
}

/** A time as senders write it; what cannot be read is no reason to lose a push, and counts as not said. */
export function timeOfText(text: string | undefined): number | undefined {
  return text === undefined || !RFC3339.test(text) ? undefined : timeOfMs(Date.parse(text))
}

/** Seconds since 1970, with or without a fraction. */
export function timeOfSeconds(seconds: unknown): number | undefined {
  return typeof seconds === 'number' ? timeOfMs(Math.trunc(seconds * 1_000)) : undefined
}

function timeOfMs(ms: number): number | undefined {
  return isTime(ms) ? ms : undefined
}

function isTime(ms: number): boolean {
  return Number.isSafeInteger(ms) && ms > 0 && ms <= TIME_MAX_MS
}
