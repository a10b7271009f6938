import { type Digest, ShoalError } from '@shoal/core'

/** What goes wrong between the command line and a registry. */
export abstract class RegistryClientError extends ShoalError {}

export class RegistryAnswerError extends RegistryClientError {
  readonly code = 'CLI_REGISTRY_ANSWER'
  constructor(
    readonly method: string,
    readonly url: string,
    readonly status: number,
    readonly body: string,
  ) {
    super(`${method} ${url} was answered with ${status}: ${body.slice(0, 500).trim()}`)
  }
}

export class PulledDigestError extends RegistryClientError {
  readonly code = 'CLI_PULLED_DIGEST'
  constructor(
    readonly url: string,
    readonly expected: Digest,
    readonly actual: Digest,
  ) {
    super(`${url} gave bytes with the digest ${actual} instead of ${expected}`)
  }
}

/** What a registry calls the manifest by its tag would not be what was pushed. */
export class TagUnsupportedError extends RegistryClientError {
  readonly code = 'CLI_TAG_UNSUPPORTED'
  constructor(
    readonly registryUrl: string,
    readonly tag: string,
    readonly digest: Digest,
  ) {
    super(
      `${registryUrl} stored the manifest and gave it no tag: it does not know "PUT manifests/<digest>?tag=", without which the tag ` +
        `${tag} would mean another digest than ${digest}; pull it by its digest, or build the image with sha256 digests`,
    )
  }
}

/** Many registries know SHA-256 alone: Distribution 2.8 hashes every manifest with it, and finds another digest wrong. */
export class DigestUnsupportedError extends RegistryClientError {
  readonly code = 'CLI_DIGEST_UNSUPPORTED'
  constructor(
    readonly registryUrl: string,
    readonly digest: Digest,
    options?: ErrorOptions,
  ) {
    super(
      `${registryUrl} takes no manifest by the digest ${digest}: it knows SHA-256 alone, it seems; nothing was tagged; build the ` +
        'image with sha256 digests, or push it to a registry that knows others',
      options,
    )
  }
}

export class PulledSizeError extends RegistryClientError {
  readonly code = 'CLI_PULLED_SIZE'
  constructor(
    readonly url: string,
    readonly expectedBytes: number,
    readonly actualBytes: number,
  ) {
    super(`${url} gave ${actualBytes} bytes instead of ${expectedBytes}`)
  }
}

export class DockerConfigError extends RegistryClientError {
  readonly code = 'CLI_DOCKER_CONFIG'
  constructor(
    readonly path: string,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(`${path}, where docker login keeps credentials, cannot be read: ${reason}`, options)
  }
}

export class RegistryUnreachableError extends RegistryClientError {
  readonly code = 'CLI_REGISTRY_UNREACHABLE'
  constructor(
    readonly url: string,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(`${url} cannot be reached: ${reason}`, options)
  }
}
