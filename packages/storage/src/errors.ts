import { ShoalError } from '@shoal/core'

/** What goes wrong in an object store or a piece store. */
export abstract class StorageError extends ShoalError {}

export class StorageKeyInvalidError extends StorageError {
  readonly code = 'STORAGE_KEY_INVALID'
  readonly key: string

  constructor(key: string) {
    super(
      `${JSON.stringify(key.slice(0, 200))} cannot be the key of an object; use the segments that ObjectStore documents`,
    )
    this.key = key
  }
}

export class StorageObjectTooLargeError extends StorageError {
  readonly code = 'STORAGE_OBJECT_TOO_LARGE'
  readonly key: string
  readonly bytesMax: number

  constructor(key: string, bytesMax: number) {
    super(`object ${key} is longer than the ${bytesMax} bytes that fit here`)
    this.key = key
    this.bytesMax = bytesMax
  }
}

/** The backend failed or cannot be reached; trying again may help. */
export class StorageUnavailableError extends StorageError {
  readonly code = 'STORAGE_UNAVAILABLE'
  constructor(store: string, doing: string, options?: ErrorOptions) {
    super(
      `${store} failed to ${doing}; check that it is reachable, has room and accepts the credentials`,
      options,
    )
  }
}

/** The store has answered, and will answer the same until somebody changes something: rights, a bucket, a setting. */
export class StorageRefusedError extends StorageError {
  readonly code = 'STORAGE_REFUSED'
  /** The store's own word: `AccessDenied`. */
  readonly refusal: string

  constructor(store: string, doing: string, refusal: string, options?: ErrorOptions) {
    super(
      `${store} refuses to ${doing}: ${refusal}; trying again does not help, mend the bucket, its policy or the credentials`,
      options,
    )
    this.refusal = refusal
  }
}

export class StorageFullError extends StorageError {
  readonly code = 'STORAGE_FULL'
  constructor(store: string, doing: string, options?: ErrorOptions) {
    super(`${store} has no room to ${doing}; make room there, or let it hold more`, options)
  }
}

/** Another process works in the folder. */
export class FolderHeldError extends StorageError {
  readonly code = 'STORAGE_FOLDER_HELD'
  readonly folder: string
  readonly holder: string

  constructor(folder: string, holder: string) {
    super(
      `folder ${folder} is in use by ${holder}; stop that one first, or give this one a folder of its own`,
    )
    this.folder = folder
    this.holder = holder
  }
}

/** The store carries out writes whose condition does not hold. */
export class StorageUnconditionalError extends StorageError {
  readonly code = 'STORAGE_UNCONDITIONAL'
  readonly header: string

  constructor(store: string, header: string) {
    super(
      `${store} does not honour ${header}: of two writers the second would undo the first one’s work, and images would be lost; use a store that knows conditional writes (AWS S3, R2, Ceph, MinIO), or a newer version of this one`,
    )
    this.header = header
  }
}

/** All pieces were right and the blob is not: the metainfo lied. Its pieces were forgotten. */
export class BlobDigestMismatchError extends StorageError {
  readonly code = 'STORAGE_BLOB_DIGEST_MISMATCH'
  readonly digest: string

  constructor(digest: string) {
    super(`the pieces of ${digest} do not make up a blob of that digest; they were forgotten`)
    this.digest = digest
  }
}

/** The disk gives other bytes of a piece than were written. The piece is taken out of `have`, so that it is fetched again. */
export class PieceDamagedError extends StorageError {
  readonly code = 'STORAGE_PIECE_DAMAGED'
  readonly digest: string
  readonly pieceIndex: number

  constructor(digest: string, pieceIndex: number) {
    super(`piece ${pieceIndex} of ${digest} is damaged on disk; it was forgotten and has to be fetched again`)
    this.digest = digest
    this.pieceIndex = pieceIndex
  }
}

export class BlobRemovedError extends StorageError {
  readonly code = 'STORAGE_BLOB_REMOVED'
  readonly digest: string

  constructor(digest: string) {
    super(`${digest} was removed from the store while it was in use; ask for it again`)
    this.digest = digest
  }
}

export class OriginInvalidError extends StorageError {
  readonly code = 'STORAGE_ORIGIN_INVALID'
  constructor(given: string, reason: string) {
    super(
      `${JSON.stringify(given)} is no origin: ${reason}; give a folder, or s3://bucket/prefix?endpoint=URL&region=NAME&forcePathStyle=true`,
    )
  }
}

/** A digest could not be worked out. */
export class HashingFailedError extends StorageError {
  readonly code = 'STORAGE_HASHING_FAILED'
}
