/** Goal: pages are read once, bounded, and never lost or used twice. Method: a blob that counts how often it is read. */
import { createPrng } from '@shoal/core'
import { MemoryPieces, testBlob } from '@shoal/testing/memory-pieces'
import { describe, expect, it } from 'vitest'
import { PageCache } from './page-cache.ts'
import { PAGE_BYTES, type Page, PagePool } from './page-pool.ts'

const blob = testBlob(12 * PAGE_BYTES - 100, 4)

class CountedPieces extends MemoryPieces {
  reads = 0
  fails = false
  override async readInto(start: number, parts: readonly Uint8Array[]): Promise<void> {
    this.reads++
    if (this.fails) throw new Error('a bad disk')
    await super.readInto(start, parts)
  }
}

function setUp(init: { pages: number; readPages: number }) {
  const pool = new PagePool({ bytesMax: init.pages * PAGE_BYTES })
  const cache = new PageCache(pool, { readBytesMax: init.readPages * PAGE_BYTES })
  const pieces = new CountedPieces(blob, [...Array(12).keys()])
  const read = (number: number) => cache.read(pieces, number, blob.metainfo)
  return { pool, cache, pieces, read }
}

const holds = (page: Page, number: number) => {
  const expected = blob.bytes.subarray(number * PAGE_BYTES, (number + 1) * PAGE_BYTES)
  return expected.equals(Buffer.from(page.bytes).subarray(0, expected.length))
}

describe('PageCache', () => {
  it('holds no bytes of a piece that is not here beside those of one that is', async () => {
    const small = testBlob(PAGE_BYTES, 6, PAGE_BYTES / 4)
    const pieces = new CountedPieces(small, [2])
    const pool = new PagePool({ bytesMax: 4 * PAGE_BYTES })
    const cache = new PageCache(pool, { readBytesMax: 4 * PAGE_BYTES })
    const expected = small.bytes.subarray(PAGE_BYTES / 2, (3 * PAGE_BYTES) / 4)
    expect(
      expected.equals((await cache.read(pieces, 2, small.metainfo)).bytes.subarray(0, expected.length)),
    ).toBe(true)
    await pieces.writePiece(3, [small.bytes.subarray((3 * PAGE_BYTES) / 4)])
    const last = await cache.read(pieces, 3, small.metainfo)
    expect(small.bytes.subarray((3 * PAGE_BYTES) / 4).equals(last.bytes.subarray(0, PAGE_BYTES / 4))).toBe(
      true,
    )
  })

  it('reads a hot page once for many', async () => {
    const { read, pieces, cache } = setUp({ pages: 4, readPages: 2 })
    const pages = await Promise.all([read(3), read(3), read(3)])
    expect(new Set(pages).size).toBe(1)
    expect(holds(pages[0]!, 3)).toBe(true)
    for (const page of pages) cache.done(page)
    cache.done(await read(3))
    expect(pieces.reads).toBe(1)
  })

  it('lets who wants a page wait while all are in use, and serves everybody', async () => {
    const { read, cache, pool } = setUp({ pages: 3, readPages: 2 })
    const prng = createPrng(5)
    let most = 0
    await Promise.all(
      Array.from({ length: 60 }, async () => {
        const number = prng.below(12)
        const page = await read(number)
        most = Math.max(most, pool.pageCount)
        expect(holds(page, number)).toBe(true)
        await Promise.resolve()
        cache.done(page)
      }),
    )
    expect(most).toBeLessThanOrEqual(3)
  })

  it('has pages for what arrives, whatever is being read', async () => {
    const { read, cache } = setUp({ pages: 3, readPages: 2 })
    await Promise.all([read(0), read(1)])
    expect(cache.take(PAGE_BYTES)).toBeDefined()
  })

  it('gives what was received without reading it', async () => {
    const { read, cache, pieces } = setUp({ pages: 4, readPages: 2 })
    const page = cache.take(PAGE_BYTES)!
    page.bytes.set(blob.bytes.subarray(5 * PAGE_BYTES, 6 * PAGE_BYTES))
    cache.keep(pieces, 5, [page])
    cache.release(page)
    const found = await read(5)
    expect([found === page, pieces.reads]).toEqual([true, 0])
    cache.done(found)
  })

  it('keeps nothing of a read that failed', async () => {
    const { read, cache, pieces, pool } = setUp({ pages: 2, readPages: 2 })
    pieces.fails = true
    await expect(Promise.all([read(1), read(1)])).rejects.toThrow('a bad disk')
    await expect(read(1)).rejects.toThrow('a bad disk')
    pieces.fails = false
    cache.done(await read(1))
    cache.stop()
    expect(pool.usedCount).toBe(0)
  })

  it('forgets a blob that was left', async () => {
    const { read, cache, pieces, pool } = setUp({ pages: 4, readPages: 4 })
    cache.done(await read(0))
    const used = await read(1)
    cache.forget(pieces)
    expect(pool.usedCount).toBe(1)
    cache.done(used)
    expect(pool.usedCount).toBe(0)
  })
})
