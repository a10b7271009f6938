import { type Digest, ShoalError } from '@shoal/core'

/** What goes wrong between the command line and a registry. */
abstract class RegistryClientError extends ShoalError {}

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

export class DockerConfigError extends RegistryClientError {
  readonly code = 'CLI_DOCKER_CONFIG'
  readonly path: string

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`${path}, where docker login keeps credentials, cannot be read: ${reason}`, options)
    this.path = path
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
