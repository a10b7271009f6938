/**
 * The pages of pieces that were received or read of late: a hot piece is read from disk once for many peers. Pages that
 * nobody uses make room for others, the least recently used first; while all are in use, whoever wants one waits.
 */
import type { BlobShape } from '@shoal/engine'
import type { SwarmPieces } from '../engine.ts'
import { PAGE_BYTES, type Page, type PagePool } from './page-pool.ts'

interface Entry {
  readonly key: string
  readonly blob: SwarmPieces
  readonly page: Page
  /** Resolves when the bytes are there. */
  loaded: Promise<void> | undefined
}

/** What a page of the cache holds of a blob: never bytes of a piece that is here beside those of one that is not. */
export function pageBytesOf({ pieceLength }: BlobShape): number {
  return Math.min(PAGE_BYTES, pieceLength)
}

export class PageCache {
  readonly #pool: PagePool
  /** Pages that reading may take; the rest of the pool is for what arrives. */
  readonly #readPagesMax: number
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>()
  readonly #waiting: (() => void)[] = []
  readonly #blobNumbers = new WeakMap<SwarmPieces, number>()
  #nextBlobNumber = 1
  #pagesForReading = 0
  readonly #onWait: () => void

  /** @param init.onWait somebody waits for a page, because all that there may be are being sent */
  constructor(pool: PagePool, init: { readonly readBytesMax: number; readonly onWait?: () => void }) {
    this.#pool = pool
    this.#onWait = init.onWait ?? (() => {})
    this.#readPagesMax = Math.max(1, Math.floor(init.readBytesMax / PAGE_BYTES))
  }

  /** Whether somebody waits for a page. */
  get isWaitedFor(): boolean {
    return this.#waiting.length > 0
  }

  /** A page for what arrives; undefined only while pages that were given up are still being hashed or written. */
  take(bytes: number): Page | undefined {
    return this.#takePage(bytes)
  }

  release(page: Page): void {
    this.#pool.release(page)
  }

  /** Keeps the pages of a piece that is on disk now; they stay whoever else uses them. */
  keep(blob: SwarmPieces, firstPage: number, pages: readonly Page[]): void {
    for (const [position, page] of pages.entries()) {
      const key = this.#keyOf(blob, firstPage + position)
      if (this.#entries.has(key)) continue
      page.users++
      this.#entries.set(key, { key, blob, page, loaded: undefined })
    }
  }

  /**
   * The blob's bytes from a multiple of `shape`'s `pageBytes` on, with the caller as a user: to be released.
   * @param number which multiple
   */
  async read(blob: SwarmPieces, number: number, shape: BlobShape): Promise<Page> {
    const key = this.#keyOf(blob, number)
    for (;;) {
      const known = this.#entries.get(key)
      if (known !== undefined) return this.#use(known)
      if (this.#pagesForReading < this.#readPagesMax) {
        const page = this.#takePage(pageBytesOf(shape))
        if (page !== undefined) return this.#load({ key, blob, page, loaded: undefined }, number, shape)
      }
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
        this.#onWait()
      })
    }
  }

  /** A page that `read` gave is not used any more. */
  done(page: Page): void {
    if (--page.readers === 0) this.#pagesForReading--
    this.#pool.release(page)
    this.#waiting.shift()?.()
  }

  forget(blob: SwarmPieces): void {
    for (const entry of [...this.#entries.values()]) if (entry.blob === blob) this.#evict(entry)
  }

  stop(): void {
    for (const entry of [...this.#entries.values()]) this.#evict(entry)
  }

  async #use(entry: Entry): Promise<Page> {
    this.#entries.delete(entry.key)
    this.#entries.set(entry.key, entry)
    if (entry.page.readers++ === 0) this.#pagesForReading++
    entry.page.users++
    try {
      await entry.loaded
    } catch (error) {
      this.done(entry.page)
      throw error
    }
    return entry.page
  }

  async #load(entry: Entry, number: number, shape: BlobShape): Promise<Page> {
    const { blob, page } = entry
    const usedBytes = pageBytesOf(shape)
    const start = number * usedBytes
    const bytes = page.bytes.subarray(0, Math.min(usedBytes, shape.length - start))
    entry.loaded = blob.readInto(start, [bytes])
    this.#entries.set(entry.key, entry)
    try {
      return await this.#use(entry)
    } catch (error) {
      if (this.#entries.get(entry.key) === entry) this.#evict(entry)
      throw error
    } finally {
      entry.loaded = undefined
    }
  }

  #takePage(bytes: number): Page | undefined {
    for (;;) {
      const page = this.#pool.take(bytes)
      if (page !== undefined) return page
      const idle = this.#leastUsedIdle()
      if (idle === undefined) return undefined
      this.#evict(idle)
    }
  }

  #leastUsedIdle(): Entry | undefined {
    for (const entry of this.#entries.values()) if (entry.page.users === 1) return entry
    return undefined
  }

  #evict(entry: Entry): void {
    this.#entries.delete(entry.key)
    this.#pool.release(entry.page)
  }

  #keyOf(blob: SwarmPieces, number: number): string {
    let blobNumber = this.#blobNumbers.get(blob)
    if (blobNumber === undefined) {
      blobNumber = this.#nextBlobNumber++
      this.#blobNumbers.set(blob, blobNumber)
    }
    return `${blobNumber} ${number}`
  }
}
