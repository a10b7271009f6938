/**
 * Whether the cache's disk takes what is to be kept: remembers that it did not, tells of it once, and looks again until it does.
 */
import { statfs } from 'node:fs/promises'
import type { Logger } from 'pino'

/** After a write that failed although there seemed to be room (a quota, a disk that is read-only or broken). */
const REST_MS = 30_000
const LOOK_MS = 2_000
/** What did not fit long ago is not waited for any longer. */
const REMEMBERED_MS = 600_000

export interface CacheDiskParts {
  readonly log: Logger
  readonly nowMs: () => number
  /** Bytes that are free, undefined where the system does not say; for tests. */
  readonly freeBytes?: (folder: string) => Promise<number | undefined>
}

export class CacheDisk {
  readonly #parts: CacheDiskParts
  readonly #folder: string
  #problem: string | undefined
  #refusedAtMs = 0
  #restsUntilMs = 0
  /** The most that did not fit. */
  #neededBytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(parts: CacheDiskParts, init: { readonly folder: string }) {
    this.#parts = parts
    this.#folder = init.folder
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  /** What is wrong with it, in a sentence that anybody may read; undefined where nothing is. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** Whether it is worth a try: not for a while after a write has failed. */
  get mayWrite(): boolean {
    return this.#parts.nowMs() >= this.#restsUntilMs
  }

  freeBytes(): Promise<number | undefined> {
    return (this.#parts.freeBytes ?? freeBytesOf)(this.#folder)
  }

  /** A blob finds no room. */
  refused(neededBytes: number, freeBytes: number): void {
    this.#tell(
      `the cache’s disk has no room: ${neededBytes} bytes are needed, ${freeBytes} are free`,
      neededBytes,
    )
  }

  /** A write failed. @returns whether that is the disk's fault */
  failed(error: unknown): boolean {
    const code = diskCodeOf(error)
    if (code === undefined) return false
    this.#restsUntilMs = this.#parts.nowMs() + REST_MS
    this.#tell(`the cache’s disk cannot be written to (${code})`, this.#neededBytes)
    return true
  }

  #tell(problem: string, neededBytes: number): void {
    const isNews = this.#problem === undefined
    this.#problem = problem
    this.#refusedAtMs = this.#parts.nowMs()
    this.#neededBytes = Math.max(this.#neededBytes, neededBytes)
    if (!isNews) return
    this.#parts.log.warn(
      { event: 'cache-disk-full', folder: this.#folder, reason: problem },
      'the cache’s disk takes nothing more: images are passed on to clients without being kept',
    )
    this.#wait()
  }

  #wait(): void {
    this.#timer = setTimeout(() => {
      this.look().catch(() => this.#wait())
    }, LOOK_MS).unref()
  }

  /** Whether there is room again for what did not fit. */
  async look(): Promise<void> {
    clearTimeout(this.#timer)
    if (this.#problem === undefined) return
    const free = (await this.freeBytes()) ?? Number.POSITIVE_INFINITY
    const { log, nowMs } = this.#parts
    const isLongAgo = nowMs() - this.#refusedAtMs >= REMEMBERED_MS
    if (!this.mayWrite || (free < this.#neededBytes && !isLongAgo)) {
      this.#wait()
      return
    }
    this.#problem = undefined
    this.#neededBytes = 0
    log.info(
      { event: 'cache-disk-has-room', folder: this.#folder, freeBytes: free },
      'the cache’s disk has room again',
    )
  }
}

/** The system's word, where a disk is full, broken or closed to writing. */
const DISK_CODES = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EFBIG'])

/** Of an error or what caused it. */
export function diskCodeOf(error: unknown): string | undefined {
  for (let each = error, depth = 0; each instanceof Error && depth < 5; each = each.cause, depth++)
    if ('code' in each && DISK_CODES.has(String(each.code))) return String(each.code)
  return undefined
}

async function freeBytesOf(folder: string): Promise<number | undefined> {
  try {
    const disk = await statfs(folder)
    return disk.bavail * disk.bsize
  } catch {
    return undefined
  }
}
