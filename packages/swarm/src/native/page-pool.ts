/**
 * The memory that pieces pass through: pages of one size, aligned, used again and again, with a hard cap. Shared memory, so
 * that the hashing thread sees them without a copy. Fresh memory is dear (its first touch costs more than a copy), so what
 * was used last is used first, and what nobody has used for a while is given back.
 */
import { assert } from '@shoal/core'
import { BUFFER_PAGE_BYTES } from '@shoal/engine'

export const PAGE_BYTES = BUFFER_PAGE_BYTES

const IDLE_MS = 15_000

export interface Page {
  readonly bytes: Uint8Array<SharedArrayBuffer>
  /** Who uses it: the fetch that fills it, the cache, each write to a socket. */
  users: number
  /** Of these, who reads it. */
  readers: number
}

export class PagePool {
  readonly pagesMax: number
  readonly #free: Page[] = []
  #pageCount = 0
  #fewestFree = 0
  #trimTimer: NodeJS.Timeout | undefined

  constructor(init: { readonly bytesMax: number }) {
    this.pagesMax = Math.max(1, Math.floor(init.bytesMax / PAGE_BYTES))
  }

  /** Pages in use or kept for use. */
  get pageCount(): number {
    return this.#pageCount
  }

  get usedCount(): number {
    return this.#pageCount - this.#free.length
  }

  /** @returns a page with one user, its bytes as the last one left them; undefined at the cap */
  take(): Page | undefined {
    this.#trimTimer ??= setInterval(() => this.#trim(), IDLE_MS).unref()
    const page = this.#free.pop()
    this.#fewestFree = Math.min(this.#fewestFree, this.#free.length)
    if (page !== undefined) {
      page.users = 1
      return page
    }
    if (this.#pageCount === this.pagesMax) return undefined
    this.#pageCount++
    return { bytes: new Uint8Array(new SharedArrayBuffer(PAGE_BYTES)), users: 1, readers: 0 }
  }

  /** One user less; the last one gives it back. */
  release(page: Page): void {
    assert(page.users > 0, 'a page that is given back was in use')
    if (--page.users === 0) this.#free.push(page)
  }

  stop(): void {
    clearInterval(this.#trimTimer)
    this.#trimTimer = undefined
    this.#pageCount -= this.#free.length
    this.#free.length = 0
  }

  /** Gives back the pages that were free all the time since the last look. */
  #trim(): void {
    this.#free.splice(0, this.#fewestFree)
    this.#pageCount -= this.#fewestFree
    this.#fewestFree = this.#free.length
    if (this.#pageCount > 0) return
    clearInterval(this.#trimTimer)
    this.#trimTimer = undefined
  }
}
