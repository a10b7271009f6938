import { SeederError } from '../errors.ts'

/** An image cannot be published; says which and why. */
export class PublishError extends SeederError {
  readonly code:
    | 'PUBLISH_REFERENCE_INVALID'
    | 'PUBLISH_REGISTRY_UNKNOWN'
    | 'PUBLISH_IMAGE_UNKNOWN'
    | 'PUBLISH_BLOB_MISSING'
    | 'PUBLISH_PLATFORM_UNKNOWN'
    | 'PUBLISH_TOO_DEEP'
    | 'PUBLISH_TOO_LARGE'

  constructor(
    code:
      | 'PUBLISH_REFERENCE_INVALID'
      | 'PUBLISH_REGISTRY_UNKNOWN'
      | 'PUBLISH_IMAGE_UNKNOWN'
      | 'PUBLISH_BLOB_MISSING'
      | 'PUBLISH_PLATFORM_UNKNOWN'
      | 'PUBLISH_TOO_DEEP'
      | 'PUBLISH_TOO_LARGE',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.code = code
  }
}
