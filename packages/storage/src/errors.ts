import { ShoalError } from '@shoal/core'

/** What goes wrong in an object store or a piece store. */
export abstract class StorageError extends ShoalError {}

export class StorageKeyInvalidError extends StorageError {
  readonly code = 'STORAGE_KEY_INVALID'
  constructor(readonly key: string) {
    super(`${JSON.stringify(key.slice(0, 200))} cannot be the key of an object; use the segments that ObjectStore documents`)
  }
}

export class StorageObjectTooLargeError extends StorageError {
  readonly code = 'STORAGE_OBJECT_TOO_LARGE'
  constructor(
    readonly key: string,
    readonly bytesMax: number,
  ) {
    super(`object ${key} is longer than the ${bytesMax} bytes that fit here`)
  }
}

/** The backend failed or cannot be reached; trying again may help. */
export class StorageUnavailableError extends StorageError {
  readonly code = 'STORAGE_UNAVAILABLE'
  constructor(store: string, doing: string, options?: ErrorOptions) {
    super(`${store} failed to ${doing}; check that it is reachable, has room and accepts the credentials`, options)
  }
}
