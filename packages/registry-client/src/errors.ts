/**
 * What goes wrong between Shoal and another registry. One family; callers branch on class or code.
 * No message carries a token, a password, a query string or text that the other side has sent.
 */
import { ShoalError } from '@shoal/core'

export abstract class UpstreamError extends ShoalError {
  /** The registry's canonical name: `docker.io`; undefined where the trouble is not one registry's. */
  readonly upstream: string | undefined

  constructor(upstream: string | undefined, what: string, options?: ErrorOptions) {
    super(upstream === undefined ? what : `${upstream}: ${what}`, options)
    this.upstream = upstream
  }
}

/** It cannot be reached, fell silent, or failed by its own account. */
export class UpstreamUnavailableError extends UpstreamError {
  readonly code = 'UPSTREAM_UNAVAILABLE'
  /** Whether asking again within a second has a chance: a connection reset, 502, 503, 504. */
  readonly isPassing: boolean
  constructor(upstream: string, what: string, options: ErrorOptions & { isPassing?: boolean } = {}) {
    super(upstream, what, options)
    this.isPassing = options.isPassing ?? false
  }
}

/** It knows who asks and says no, or wants credentials that nobody has configured. */
export class UpstreamDeniedError extends UpstreamError {
  readonly code = 'UPSTREAM_DENIED'
}

/** It asks to be left alone for a while. */
export class UpstreamBusyError extends UpstreamError {
  readonly code = 'UPSTREAM_BUSY'
  readonly retryAtMs: number

  constructor(upstream: string, retryAtMs: number) {
    super(
      upstream,
      `its rate limit is used up; it may be asked again at ${new Date(retryAtMs).toISOString()}, and credentials often raise the limit`,
    )
    this.retryAtMs = retryAtMs
  }
}

/** It answered, and the answer cannot be what was asked for: a wrong digest, too long, malformed. */
export class UpstreamInvalidError extends UpstreamError {
  readonly code = 'UPSTREAM_INVALID'
}

/** It has the blob and does not give parts of it. */
export class UpstreamRangeRefusedError extends UpstreamError {
  readonly code = 'UPSTREAM_RANGE_REFUSED'
  constructor(upstream: string) {
    super(upstream, 'it gives blobs only as a whole')
  }
}

/** It wants the credentials taken somewhere that has no business with them (CVE-2026-33540). */
export class UpstreamRealmRefusedError extends UpstreamError {
  readonly code = 'UPSTREAM_REALM_REFUSED'
}

/** It pointed at a place where Shoal does not follow. */
export class UpstreamRedirectRefusedError extends UpstreamError {
  readonly code = 'UPSTREAM_REDIRECT_REFUSED'
}

export class UpstreamAddressInvalidError extends UpstreamError {
  readonly code = 'UPSTREAM_ADDRESS_INVALID'
}

/** The client was closed while, or before, it was asked. */
export class UpstreamClosedError extends UpstreamError {
  readonly code = 'UPSTREAM_CLOSED'
  constructor(upstream: string) {
    super(upstream, 'the client was closed; nothing can be asked any more')
  }
}

/** Credentials are configured and cannot be used. Says where they stand, never what they are. */
export class CredentialsInvalidError extends UpstreamError {
  readonly code = 'UPSTREAM_CREDENTIALS_INVALID'
  /** A file, a program, or the names of variables. */
  readonly where: string

  constructor(where: string, what: string) {
    super(undefined, `credentials in ${where}: ${what}`)
    this.where = where
  }
}
