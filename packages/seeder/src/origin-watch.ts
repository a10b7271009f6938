/**
 * Whether the origin is still there, and takes what is written: looked at again and again, so that a seeder whose volume or
 * bucket went away says so and answers nothing, instead of answering that there are no images.
 */
import { within } from '@shoal/service'
import {
  type ObjectStore,
  StorageFullError,
  StorageRefusedError,
  StorageUnavailableError,
} from '@shoal/storage'
import type { Logger } from 'pino'
import { MARKER, readMarker } from './origin-marker.ts'

const LOOK_EVERY_MS = 10_000
const LOOK_TIMEOUT_MS = 8_000
/** One look that fails may be a moment's trouble. */
const FAILURES_MAX = 2

export interface OriginWatchParts {
  /** Not counted: looking is nobody's request. */
  readonly objects: ObjectStore
  readonly log: Logger
}

export class OriginWatch {
  readonly #parts: OriginWatchParts
  #id: string | undefined
  #timer: NodeJS.Timeout | undefined
  #reading: Promise<{ readonly id: string | undefined }> | undefined
  #failures = 0
  #problem: string | undefined
  #isGone = false
  #writeProblem: string | undefined

  constructor(parts: OriginWatchParts) {
    this.#parts = parts
  }

  /** Why the origin cannot be used. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** Why nothing can be written to it, though it can be read. */
  get writeProblem(): string | undefined {
    return this.#writeProblem
  }

  /** @param id the origin's mark; undefined where it has none, then it is only looked at whether it answers */
  start(id: string | undefined): void {
    this.#id = id
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Never rejects. */
  async look(): Promise<void> {
    try {
      const id = await this.#readMarker()
      if (this.#id === undefined || id === this.#id) this.#tellBack()
      else this.#tellLost(id === undefined ? 'it is empty, or another one is there' : 'another one is there')
    } catch (error) {
      this.#failures++
      if (this.#failures < FAILURES_MAX || this.#problem !== undefined) return
      this.#problem = (error as Error).message
      this.#parts.log.error({ event: 'origin-unavailable', err: error }, 'the origin cannot be read')
    }
  }

  /**
   * Something was not found.
   * @throws StorageUnavailableError when that is because the origin is not there
   */
  async confirmMissing(key: string): Promise<void> {
    if (this.#id === undefined || key === MARKER) return
    const { objects } = this.#parts
    // In a folder that costs next to nothing. A bucket charges by the request, and is looked at in its time.
    if (objects.localFile(MARKER) !== undefined && (await objects.stat(MARKER)) === undefined)
      this.#tellLost('its folder is gone, or another one is mounted there')
    if (this.#isGone)
      throw new StorageUnavailableError(objects.description, `say whether it has ${key}: it is gone`)
  }

  /**
   * Something is about to be written.
   * @throws StorageUnavailableError when the origin is gone: what is in its place is somebody else's, or nobody would find it there
   */
  expectWritable(key: string): void {
    if (this.#isGone)
      throw new StorageUnavailableError(this.#parts.objects.description, `write ${key}: it is gone`)
  }

  /** Something was written, or could not be. */
  wrote(error?: unknown): void {
    const before = this.#writeProblem
    const isLasting = error instanceof StorageRefusedError || error instanceof StorageFullError
    if (error !== undefined && !isLasting) return
    this.#writeProblem = error === undefined ? undefined : (error as Error).message
    if (before !== undefined || error === undefined) return
    this.#parts.log.error(
      { event: 'origin-not-writable', err: error },
      'nothing can be written to the origin',
    )
  }

  /** A file system that hangs is not asked again meanwhile: each question would take a thread. */
  async #readMarker(): Promise<string | undefined> {
    const { objects } = this.#parts
    this.#reading ??= readMarker(objects, AbortSignal.timeout(LOOK_TIMEOUT_MS))
      .then((id) => ({ id }))
      .finally(() => {
        this.#reading = undefined
      })
    const read = await within(this.#reading, LOOK_TIMEOUT_MS)
    if (read === undefined) throw new StorageUnavailableError(objects.description, 'answer in time')
    return read.id
  }

  #tellBack(): void {
    this.#failures = 0
    if (this.#problem !== undefined)
      this.#parts.log.info({ event: 'origin-back' }, 'the origin is there again')
    this.#problem = undefined
    this.#isGone = false
  }

  #tellLost(why: string): void {
    if (this.#isGone) return
    const { log, objects } = this.#parts
    this.#isGone = true
    this.#problem = `the origin, ${objects.description}, is gone: ${why}`
    log.error({ event: 'origin-gone', origin: objects.description }, this.#problem)
  }
}
