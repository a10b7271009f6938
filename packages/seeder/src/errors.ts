import { ShoalError } from '@shoal/core'

/** What goes wrong in the seeder service. */
export abstract class SeederError extends ShoalError {}

/** The origin holds other bytes than were pushed. */
export class OriginCorruptError extends SeederError {
  readonly code = 'SEEDER_ORIGIN_CORRUPT'
  readonly digest: string
  readonly pieceIndex: number

  constructor(digest: string, pieceIndex: number) {
    super(
      `piece ${pieceIndex} of ${digest} in the origin is not what was pushed; nothing of it is served, push the layer again`,
    )
    this.digest = digest
    this.pieceIndex = pieceIndex
  }
}

/** There was an origin, and at this start there is none. */
export class OriginLostError extends SeederError {
  readonly code = 'SEEDER_ORIGIN_LOST'
  constructor(origin: string, note: string) {
    super(
      `there is no origin at ${origin}, and there was one: is its volume mounted, its bucket the right one? Nothing was made there; to begin a new origin on purpose, delete ${note}`,
    )
  }
}

export class OriginMissingError extends SeederError {
  readonly code = 'SEEDER_ORIGIN_MISSING'
  readonly digest: string

  constructor(digest: string) {
    super(`the content of ${digest} is gone from the origin, or was cut short; push the layer again`)
    this.digest = digest
  }
}

/** What was received of a blob on its way is not given out any more. The blob can still come another way. */
export class CopyLostError extends SeederError {
  readonly code = 'SEEDER_COPY_LOST'
  readonly digest: string

  constructor(digest: string, why: 'not-kept' | 'ended', options?: ErrorOptions) {
    super(
      why === 'not-kept'
        ? `what arrives of ${digest} cannot be kept in the data folder of the seeder; look after its disk`
        : `${digest} does not arrive any more; the log says why`,
      options,
    )
    this.digest = digest
  }
}
