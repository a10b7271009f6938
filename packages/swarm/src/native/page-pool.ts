/**
 * The memory that pieces pass through: pages of one size, aligned, used again and again, with a hard cap. Shared memory, so
 * that the hashing thread sees them without a copy. Fresh memory is dear (its first touch costs more than a copy), so what
 * was used last is used first, and what nobody has used for a while is given back. For what is short a page is cut in
 * quarters, and becomes a page again when none of them is used.
 */
import { assert } from '@shoal/core'
import { BUFFER_PAGE_BYTES } from '@shoal/engine'

export const PAGE_BYTES = BUFFER_PAGE_BYTES

const QUARTERS = 4
const QUARTER_BYTES = PAGE_BYTES / QUARTERS
const IDLE_MS = 15_000

export interface Page {
  readonly bytes: Uint8Array<SharedArrayBuffer>
  /** Who uses it: the fetch that fills it, the cache, each write to a socket. */
  users: number
  /** Of these, who reads it. */
  readers: number
  /** The page that this is a quarter of. */
  readonly cut: CutPage | undefined
}

interface CutPage {
  readonly whole: Page
  readonly free: Page[]
}

export class PagePool {
  readonly pagesMax: number
  readonly #free: Page[] = []
  /** Cut pages of which a quarter is free. */
  readonly #cut = new Set<CutPage>()
  #pageCount = 0
  #fewestFree = 0
  #trimTimer: NodeJS.Timeout | undefined

  constructor(init: { readonly bytesMax: number }) {
    this.pagesMax = Math.max(1, Math.floor(init.bytesMax / PAGE_BYTES))
  }

  /** Whole pages in use or kept for use. */
  get pageCount(): number {
    return this.#pageCount
  }

  /** Whole pages in use, if only a quarter of them. */
  get usedCount(): number {
    return this.#pageCount - this.#free.length
  }

  /**
   * @param bytes how much of it will be used: at most a page
   * @returns a page with one user, its bytes as the last one left them; undefined at the cap
   */
  take(bytes = PAGE_BYTES): Page | undefined {
    const page = bytes <= QUARTER_BYTES ? this.#takeQuarter() : this.#takeWhole()
    if (page !== undefined) page.users = 1
    return page
  }

  /** One user less; the last one gives it back. */
  release(page: Page): void {
    assert(page.users > 0, 'a page that is given back was in use')
    if (--page.users > 0) return
    const { cut } = page
    if (cut === undefined) this.#free.push(page)
    else {
      cut.free.push(page)
      this.#cut.add(cut)
      if (cut.free.length < QUARTERS) return
      this.#cut.delete(cut)
      this.#free.push(cut.whole)
    }
  }

  stop(): void {
    clearInterval(this.#trimTimer)
    this.#trimTimer = undefined
    this.#pageCount -= this.#free.length
    this.#free.length = 0
  }

  #takeWhole(): Page | undefined {
    this.#trimTimer ??= setInterval(() => this.#trim(), IDLE_MS).unref()
    const page = this.#free.pop()
    this.#fewestFree = Math.min(this.#fewestFree, this.#free.length)
    if (page !== undefined) return page
    if (this.#pageCount === this.pagesMax) return undefined
    this.#pageCount++
    return {
      bytes: new Uint8Array(new SharedArrayBuffer(PAGE_BYTES)),
      users: 0,
      readers: 0,
      cut: undefined,
    }
  }

  #takeQuarter(): Page | undefined {
    let [cut] = this.#cut
    if (cut === undefined) {
      const whole = this.#takeWhole()
      if (whole === undefined) return undefined
      cut = cutUp(whole)
      this.#cut.add(cut)
    }
    const quarter = cut.free.pop()
    if (cut.free.length === 0) this.#cut.delete(cut)
    return quarter
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

function cutUp(whole: Page): CutPage {
  const cut: CutPage = { whole, free: [] }
  for (let quarter = QUARTERS - 1; quarter >= 0; quarter--) {
    const start = quarter * QUARTER_BYTES
    cut.free.push({
      bytes: whole.bytes.subarray(start, start + QUARTER_BYTES),
      users: 0,
      readers: 0,
      cut,
    })
  }
  return cut
}
