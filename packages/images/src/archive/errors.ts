import { type Digest, ShoalError } from '@shoal/core'

/** Why an image cannot be taken out of what the file system has. */
export abstract class ImageArchiveError extends ShoalError {}

export class ArchiveUnreadableError extends ImageArchiveError {
  readonly code = 'ARCHIVE_UNREADABLE'
  constructor(
    readonly path: string,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(`${path} cannot be read: ${reason}`, options)
  }
}

/** It can be read, and is no archive of images that Shoal knows. */
export class ArchiveFormatError extends ImageArchiveError {
  readonly code = 'ARCHIVE_FORMAT'
  constructor(
    readonly path: string,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(`${path} is no usable image archive: ${reason}`, options)
  }
}

export class ArchiveTruncatedError extends ImageArchiveError {
  readonly code = 'ARCHIVE_TRUNCATED'
  constructor(readonly path: string) {
    super(`${path} ends in the middle of a file that it holds; it was not written or copied to its end`)
  }
}

/** A name or a link inside the archive leads out of it. */
export class ArchivePathError extends ImageArchiveError {
  readonly code = 'ARCHIVE_PATH'
  constructor(
    readonly path: string,
    readonly entry: string,
  ) {
    super(`${path} is refused: ${JSON.stringify(entry.slice(0, 200))} leads out of it`)
  }
}

export class ArchiveLimitError extends ImageArchiveError {
  readonly code = 'ARCHIVE_LIMIT'
  constructor(
    readonly path: string,
    what: string,
  ) {
    super(`${path} is refused: ${what}`)
  }
}

export class ContentMissingError extends ImageArchiveError {
  readonly code = 'ARCHIVE_CONTENT_MISSING'
  constructor(
    readonly path: string,
    /** A digest or a name inside the archive. */
    readonly content: string,
    hint = '',
  ) {
    super(`${path} does not hold ${content}, which the image needs${hint}`)
  }
}

export class ContentCorruptError extends ImageArchiveError {
  readonly code = 'ARCHIVE_CONTENT_CORRUPT'
  constructor(
    readonly path: string,
    readonly expected: Digest,
    reason: string,
  ) {
    super(`${path} is damaged: ${expected} ${reason}`)
  }
}

/** Several images, and nothing that says which; or one that is not there. */
export class ImageChoiceError extends ImageArchiveError {
  readonly code = 'ARCHIVE_IMAGE_CHOICE'
  constructor(
    readonly path: string,
    reason: string,
    readonly images: readonly string[],
  ) {
    super(`${path} ${reason}; --image chooses one of:\n${images.map((name) => `  ${name}`).join('\n')}`)
  }
}

export class PlatformChoiceError extends ImageArchiveError {
  readonly code = 'ARCHIVE_PLATFORM_CHOICE'
  constructor(
    readonly path: string,
    readonly wanted: string,
    readonly platforms: readonly string[],
  ) {
    super(
      `${path} has nothing for ${wanted}; it has ${platforms.length === 0 ? 'no platforms' : platforms.join(', ')}`,
    )
  }
}
