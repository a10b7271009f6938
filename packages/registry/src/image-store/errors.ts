/** What goes wrong with images over an object store, beside the store itself. */
import { ShoalError } from '@shoal/core'

abstract class ImageStoreError extends ShoalError {}

/** Others changed the same thing again and again, so that nothing could be done with it. */
export class ContendedError extends ImageStoreError {
  readonly code = 'IMAGE_STORE_CONTENDED'
  /** @param event `changed 8 times while it was leased` */
  constructor(what: string, event: string) {
    super(`${what} ${event}; try again`)
  }
}

/** The bytes of an upload are not what they were when they were written. */
export class ContentChangedError extends ImageStoreError {
  readonly code = 'IMAGE_STORE_CONTENT_CHANGED'
  constructor(contentKey: string, what: 'vanished while it was published' | 'changed while it was read') {
    super(`the content ${contentKey} ${what}; push it again`)
  }
}
