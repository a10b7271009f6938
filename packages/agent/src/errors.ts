import { ShoalError } from '@shoal/core'

/** What goes wrong on a node. */
abstract class AgentError extends ShoalError {}

/** The seeder, or whoever was asked in its place, gave no usable answer. */
export class SourceUnavailableError extends AgentError {
  readonly code = 'AGENT_SOURCE_UNAVAILABLE'
  /** Nothing was said at all: it may be away. */
  readonly isUnanswered: boolean
  /** It was there, and says why another registry did not answer it. */
  readonly upstreamProblem: string | undefined
  constructor(
    source: string,
    reason: string,
    options?: ErrorOptions & { readonly isUnanswered?: boolean; readonly upstreamProblem?: string },
  ) {
    super(
      `${source} gave no usable answer: ${reason}; others are asked, and it is tried again later`,
      options,
    )
    this.isUnanswered = options?.isUnanswered ?? false
    this.upstreamProblem = options?.upstreamProblem
  }
}

/** An image or a blob that may exist, and that nobody who can be reached now has: a client does better to ask elsewhere. */
export class UnobtainableError extends AgentError {
  readonly code = 'AGENT_UNOBTAINABLE'
  readonly reason: string

  /** @param reason what is in the way, without secrets: clients are told */
  constructor(what: string, reason: string, options?: ErrorOptions) {
    super(`${what} cannot be had here now: ${reason}`, options)
    this.reason = reason
  }
}

/** There is no room for a blob on the cache's disk; what clients want of it passes through. */
export class CacheDiskFullError extends AgentError {
  readonly code = 'AGENT_CACHE_DISK_FULL'
  constructor(digest: string) {
    super(`${digest} cannot be kept: the cache’s disk takes nothing more; make room there`)
  }
}

export class BlobUnknownError extends AgentError {
  readonly code = 'AGENT_BLOB_UNKNOWN'
  constructor(digest: string) {
    super(`${digest} is not known here any more; ask for its manifest again`)
  }
}

/** A node in the wrong zone would have the wrong neighbours, and nobody would notice. */
export class ZoneFileError extends AgentError {
  readonly code = 'AGENT_ZONE_FILE'
  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(
      `the zone cannot be read from ${path}: ${reason}; mend the file, or set zone instead of zoneFile`,
      options,
    )
  }
}
