/**
 * Reads the cache through in the background, one piece after the other, so that what a disk has spoilt is found before somebody
 * needs it, and while other agents still have it. What is found is told by the store, as when a reader finds it.
 *
 * Each pass begins at a blob drawn by chance: an agent that is restarted every day gets round as well.
 */
import { type Digest, type Prng, pieceBytes } from '@shoal/core'
import type { PieceStore } from '@shoal/storage'
import type { Logger } from 'pino'
import { scrubPauseMs } from './scrub-pace.ts'

/** With an empty cache, until it is looked again. */
const IDLE_MS = 60_000

export interface ScrubberParts {
  readonly store: Pick<PieceStore, 'get' | 'blobs'>
  readonly prng: Prng
  readonly log: Logger
}

export class Scrubber {
  readonly #parts: ScrubberParts
  #timer: NodeJS.Timeout | undefined
  #checking: Promise<void> | undefined
  #isStopped = false
  /** Of this pass, still to be looked at. */
  #digests: Digest[] = []
  #pieceIndex = 0

  constructor(parts: ScrubberParts) {
    this.#parts = parts
  }

  start(): void {
    this.#wait(IDLE_MS)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#checking
  }

  /**
   * Looks at the next piece.
   * @returns how long to wait before the one after it, in ms
   */
  async next(): Promise<number> {
    const { store } = this.#parts
    const found = this.#find()
    if (found === undefined) return IDLE_MS
    const { blob, index } = found
    await blob.check(index)
    const cacheBytes = store.blobs().reduce((bytes, { metainfo }) => bytes + metainfo.length, 0)
    return scrubPauseMs(cacheBytes, pieceBytes(blob.metainfo, index))
  }

  /** @returns undefined at the end of a pass, and where no blob is complete */
  #find() {
    const { store, prng } = this.#parts
    if (this.#digests.length === 0) {
      const digests = store.blobs().flatMap(({ isComplete, metainfo }) => (isComplete ? metainfo.digest : []))
      const first = digests.length === 0 ? 0 : prng.below(digests.length)
      this.#digests = [...digests.slice(first), ...digests.slice(0, first)]
      this.#pieceIndex = 0
    }
    while (this.#digests.length > 0) {
      const blob = store.get(this.#digests[0]!)
      if (blob?.isComplete && this.#pieceIndex < blob.have.length) return { blob, index: this.#pieceIndex++ }
      this.#digests.shift()
      this.#pieceIndex = 0
    }
    return undefined
  }

  #wait(ms: number): void {
    if (this.#isStopped) return
    this.#timer = setTimeout(() => {
      this.#checking = this.#check()
    }, ms).unref()
  }

  async #check(): Promise<void> {
    let pauseMs = IDLE_MS
    try {
      pauseMs = await this.next()
    } catch (err) {
      // It was evicted while it was read, or the disk is in trouble: others hear of that.
      this.#parts.log.debug({ event: 'scrub-interrupted', err }, 'a piece could not be looked at')
    }
    this.#wait(pauseMs)
  }
}
