import { type Digest, ShoalError } from '@shoal/core'

/** Why an image cannot be taken out of what the file system has. */
export abstract class ImageArchiveError extends ShoalError {}

export class ArchiveUnreadableError extends ImageArchiveError {
  readonly code = 'ARCHIVE_UNREADABLE'
  readonly path: string

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`${path} cannot be read: ${reason}`, options)
    this.path = path
  }
}

/** It can be read, and is no archive of images that Shoal knows. */
export class ArchiveFormatError extends ImageArchiveError {
  readonly code = 'ARCHIVE_FORMAT'
  readonly path: string

  constructor(path: string, reason: string, options?: ErrorOptions) {
    super(`${path} is no usable image archive: ${reason}`, options)
    this.path = path
  }
}

export class ArchiveTruncatedError extends ImageArchiveError {
  readonly code = 'ARCHIVE_TRUNCATED'
  readonly path: string

  constructor(path: string) {
    super(`${path} ends in the middle of a file that it holds; it was not written or copied to its end`)
    this.path = path
  }
}

/** A name or a link inside the archive leads out of it. */
export class ArchivePathError extends ImageArchiveError {
  readonly code = 'ARCHIVE_PATH'
  readonly path: string
  readonly entry: string

  constructor(path: string, entry: string) {
    super(`${path} is refused: ${JSON.stringify(entry.slice(0, 200))} leads out of it`)
    this.path = path
    this.entry = entry
  }
}

export class ArchiveLimitError extends ImageArchiveError {
  readonly code = 'ARCHIVE_LIMIT'
  readonly path: string

  constructor(path: string, what: string) {
    super(`${path} is refused: ${what}`)
    this.path = path
  }
}

export class ContentMissingError extends ImageArchiveError {
  readonly code = 'ARCHIVE_CONTENT_MISSING'
  readonly path: string
  /** A digest or a name inside the archive. */
  readonly content: string

  constructor(path: string, content: string, hint = '') {
    super(`${path} does not hold ${content}, which the image needs${hint}`)
    this.path = path
    this.content = content
  }
}

export class ContentCorruptError extends ImageArchiveError {
  readonly code = 'ARCHIVE_CONTENT_CORRUPT'
  readonly path: string
  readonly expected: Digest

  constructor(path: string, expected: Digest, reason: string) {
    super(`${path} is damaged: ${expected} ${reason}`)
    this.path = path
    this.expected = expected
  }
}

/** Several images, and nothing that says which; or one that is not there. */
export class ImageChoiceError extends ImageArchiveError {
  readonly code = 'ARCHIVE_IMAGE_CHOICE'
  readonly path: string
  readonly images: readonly string[]

  constructor(path: string, reason: string, images: readonly string[]) {
    super(`${path} ${reason}; --image chooses one of:\n${images.map((name) => `  ${name}`).join('\n')}`)
    this.path = path
    this.images = images
  }
}

export class PlatformChoiceError extends ImageArchiveError {
  readonly code = 'ARCHIVE_PLATFORM_CHOICE'
  readonly path: string
  readonly wanted: string
  readonly platforms: readonly string[]

  constructor(path: string, wanted: string, platforms: readonly string[]) {
    super(
      `${path} has nothing for ${wanted}; it has ${platforms.length === 0 ? 'no platforms' : platforms.join(', ')}`,
    )
    this.path = path
    this.wanted = wanted
    this.platforms = platforms
  }
}
