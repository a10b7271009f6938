/**
 * Reads an origin through now and then, so that what has rotted there is known before somebody needs it. For folders: a bucket
 * checks its own disks, and reading it costs money.
 */
import type { ImageStore } from '@shoal/registry'
import type { Logger } from 'pino'

/** A seeder that has just begun has other things to do. */
export const FIRST_SCRUB_MS = 60 * 60 * 1000
export const SCRUB_PAUSE_MS = 7 * 24 * 60 * 60 * 1000
/** A few hundredths of a core, and of a disk. */
export const BACKGROUND_SCRUB_BYTES_PER_SECOND = 8 * 1024 * 1024

export class ScrubSchedule {
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined

  readonly #parts: {
    readonly images: Pick<ImageStore, 'scrub'>
    readonly log: Logger
    /** From 0 to 1. */
    readonly random: () => number
  }

  constructor(parts: {
    readonly images: Pick<ImageStore, 'scrub'>
    readonly log: Logger
    /** From 0 to 1. */
    readonly random: () => number
  }) {
    this.#parts = parts
  }

  start(): void {
    this.#next(FIRST_SCRUB_MS)
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#stopping.abort(new Error('the seeder stops'))
    await this.#running
  }

  #next(inMs: number): void {
    if (this.#stopping.signal.aborted) return
    this.#timer = setTimeout(() => {
      this.#running = this.#run().finally(() => this.#next(SCRUB_PAUSE_MS))
    }, inMs)
    this.#timer.unref()
  }

  async #run(): Promise<void> {
    const { images, log, random } = this.#parts
    const { signal } = this.#stopping
    try {
      await images.scrub({ signal, startAt: random(), bytesPerSecond: BACKGROUND_SCRUB_BYTES_PER_SECOND })
    } catch (err) {
      if (!signal.aborted)
        log.error({ event: 'scrub-failed', err }, 'the scrub failed; it is tried again later')
    }
  }
}
