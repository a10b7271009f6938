/**
 * What goes wrong between Shoal and a registry that it asks. One family; callers branch on class or code.
 * No message of an UpstreamError carries a token, a password, a query string or text that the other side has sent.
 */
import { type Digest, ShoalError } from '@shoal/core'

abstract class RegistryClientError extends ShoalError {}

/** Of a registry that is mirrored or published from. */
export abstract class UpstreamError extends RegistryClientError {
  /** The registry's canonical name: `docker.io`; undefined where the trouble is not one registry's. */
  readonly upstream: string | undefined

  constructor(upstream: string | undefined, what: string, options?: ErrorOptions) {
    super(upstream === undefined ? what : `${upstream}: ${what}`, options)
    this.upstream = upstream
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

// Of pushes and pulls of whole images. Their codes are older than this package.

export class RegistryAnswerError extends RegistryClientError {
  readonly code = 'CLI_REGISTRY_ANSWER'
  readonly method: string
  readonly url: string
  readonly status: number
  readonly body: string

  constructor(method: string, url: string, status: number, body: string) {
    super(`${method} ${url} was answered with ${status}: ${body.slice(0, 500).trim()}`)
    this.method = method
    this.url = url
    this.status = status
    this.body = body
  }
}

export class PulledDigestError extends RegistryClientError {
  readonly code = 'CLI_PULLED_DIGEST'
  readonly url: string
  readonly expected: Digest
  readonly actual: Digest

  constructor(url: string, expected: Digest, actual: Digest) {
    super(`${url} gave bytes with the digest ${actual} instead of ${expected}`)
    this.url = url
    this.expected = expected
    this.actual = actual
  }
}

/** What a registry says that it stored is not what it was sent. */
export class PushedDigestError extends RegistryClientError {
  readonly code = 'CLI_PUSHED_DIGEST'
  readonly url: string
  readonly expected: Digest
  /** The registry's own word. */
  readonly stored: string

  constructor(url: string, expected: Digest, stored: string) {
    super(
      `${url} was sent ${expected}, and the registry says that it stored ${stored.slice(0, 200)}; push again`,
    )
    this.url = url
    this.expected = expected
    this.stored = stored
  }
}

/** What was to be sent has other bytes than a moment ago. */
export class PushedSizeError extends RegistryClientError {
  readonly code = 'CLI_PUSHED_SIZE'
  readonly digest: Digest
  readonly expectedBytes: number
  readonly actualBytes: number

  constructor(digest: Digest, expectedBytes: number, actualBytes: number) {
    super(
      `${digest} had ${actualBytes} bytes to send instead of ${expectedBytes}; was it changed meanwhile? push again`,
    )
    this.digest = digest
    this.expectedBytes = expectedBytes
    this.actualBytes = actualBytes
  }
}

/** What a registry calls the manifest by its tag would not be what was pushed. */
export class TagUnsupportedError extends RegistryClientError {
  readonly code = 'CLI_TAG_UNSUPPORTED'
  readonly registryUrl: string
  readonly tag: string
  readonly digest: Digest

  constructor(registryUrl: string, tag: string, digest: Digest) {
    super(
      `${registryUrl} stored the manifest and gave it no tag: it does not know "PUT manifests/<digest>?tag=", without which the tag ` +
        `${tag} would mean another digest than ${digest}; pull it by its digest, or build the image with sha256 digests`,
    )
    this.registryUrl = registryUrl
    this.tag = tag
    this.digest = digest
  }
}

/** Many registries know SHA-256 alone: Distribution 2.8 hashes every manifest with it, and finds another digest wrong. */
export class DigestUnsupportedError extends RegistryClientError {
  readonly code = 'CLI_DIGEST_UNSUPPORTED'
  readonly registryUrl: string
  readonly digest: Digest

  constructor(registryUrl: string, digest: Digest, options?: ErrorOptions) {
    super(
      `${registryUrl} takes no manifest by the digest ${digest}: it knows SHA-256 alone, it seems; nothing was tagged; build the ` +
        'image with sha256 digests, or push it to a registry that knows others',
      options,
    )
    this.registryUrl = registryUrl
    this.digest = digest
  }
}

export class PulledSizeError extends RegistryClientError {
  readonly code = 'CLI_PULLED_SIZE'
  readonly url: string
  readonly expectedBytes: number
  readonly actualBytes: number

  constructor(url: string, expectedBytes: number, actualBytes: number) {
    super(`${url} gave ${actualBytes} bytes instead of ${expectedBytes}`)
    this.url = url
    this.expectedBytes = expectedBytes
    this.actualBytes = actualBytes
  }
}

export class RegistryUnreachableError extends RegistryClientError {
  readonly code = 'CLI_REGISTRY_UNREACHABLE'
  readonly url: string

  constructor(url: string, reason: string, options?: ErrorOptions) {
    super(`${url} cannot be reached: ${reason}`, options)
    this.url = url
  }
}
