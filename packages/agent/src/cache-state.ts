/** How the cache and its disk are, for whoever asks: looked at once at a time, and not waited for when the disk hangs. */
import { within } from '@shoal/service'
import { type FolderState, folderState } from '@shoal/storage'

/** A disk that works answers in a millisecond. */
const LOOK_TIMEOUT_MS = 1_000

export class CacheState {
  readonly #folder: string
  readonly #look: (folder: string) => Promise<FolderState>
  #looking: Promise<FolderState> | undefined

  /** @param look another one for tests */
  constructor(init: { folder: string }, look: (folder: string) => Promise<FolderState> = folderState) {
    this.#folder = init.folder
    this.#look = look
  }

  /** Never rejects. @returns `problem` TIMEOUT where the disk does not answer */
  async now(): Promise<FolderState> {
    // One look that hangs takes one of the few threads that files are read by; no second one is begun beside it.
    this.#looking ??= this.#look(this.#folder).finally(() => {
      this.#looking = undefined
    })
    return (await within(this.#looking, LOOK_TIMEOUT_MS)) ?? { folder: this.#folder, problem: 'TIMEOUT' }
  }
}
