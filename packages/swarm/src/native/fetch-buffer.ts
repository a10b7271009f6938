/** Where one piece arrives: pages, taken as its bytes come, and given back when nothing uses them any more. */
import { assert } from '@shoal/core'
import type { BlobShape } from '@shoal/engine'
import type { SwarmPieces } from '../engine.ts'
import { type PageCache, pageBytesOf } from './page-cache.ts'
import { PAGE_BYTES, type Page } from './page-pool.ts'

export class FetchBuffer {
  readonly #cache: PageCache
  readonly #bytes: number
  readonly #pages: (Page | undefined)[]
  #uses = 0
  #isReleased = false

  /** @param bytes the piece's length */
  constructor(cache: PageCache, bytes: number) {
    this.#cache = cache
    this.#bytes = bytes
    this.#pages = Array.from({ length: Math.ceil(bytes / PAGE_BYTES) })
  }

  /** The page of byte `offset` of the piece; undefined when there is none to be had. */
  pageAt(offset: number): Page | undefined {
    const position = Math.floor(offset / PAGE_BYTES)
    this.#pages[position] ??= this.#cache.take(Math.min(PAGE_BYTES, this.#bytes))
    return this.#pages[position]
  }

  /** The piece, once all of it is here. */
  parts(): Uint8Array<SharedArrayBuffer>[] {
    return this.#whole().map((page, position) =>
      page.bytes.subarray(0, Math.min(PAGE_BYTES, this.#bytes - position * PAGE_BYTES)),
    )
  }

  /** The piece is on disk: who asks for it soon finds it in the cache. */
  keepIn(cache: PageCache, blob: SwarmPieces, index: number, shape: BlobShape): void {
    cache.keep(blob, (index * shape.pieceLength) / pageBytesOf(shape), this.#whole())
  }

  /** Keeps the pages from being used again while `work` needs them, whoever gives them up meanwhile. */
  async whileUsed<T>(work: () => Promise<T>): Promise<T> {
    this.#uses++
    try {
      return await work()
    } finally {
      this.#uses--
      if (this.#isReleased && this.#uses === 0) this.#giveBack()
    }
  }

  release(): void {
    this.#isReleased = true
    if (this.#uses === 0) this.#giveBack()
  }

  #whole(): Page[] {
    return this.#pages.map((page) => {
      assert(page !== undefined, 'a piece is used when all of it is here')
      return page
    })
  }

  #giveBack(): void {
    for (const page of this.#pages) if (page !== undefined) this.#cache.release(page)
    this.#pages.length = 0
  }
}
