import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PAGE_BYTES, type Page, PagePool } from './page-pool.ts'

const QUARTER = PAGE_BYTES / 4

describe('the page pool', () => {
  it('cuts a page in quarters that do not overlap', () => {
    const pool = new PagePool({ bytesMax: PAGE_BYTES })
    const quarters = [1, 2, 3, 4].map((value) => {
      const page = pool.take(QUARTER)!
      page.bytes.fill(value)
      return page
    })
    expect(quarters.map(({ bytes }) => [bytes.length, bytes[0], bytes.at(-1)])).toEqual(
      [1, 2, 3, 4].map((value) => [QUARTER, value, value]),
    )
    expect(pool.take(1)).toBeUndefined()
    pool.stop()
  })

  it('has a whole page again when no quarter is used', () => {
    const pool = new PagePool({ bytesMax: PAGE_BYTES })
    const quarters = [1, 2, 3, 4].map(() => pool.take(QUARTER)!)
    for (const quarter of quarters) {
      expect(pool.take()).toBeUndefined()
      pool.release(quarter)
    }
    expect(pool.take()?.bytes).toHaveLength(PAGE_BYTES)
    pool.stop()
  })

  it('never gives what is used, never more than its cap, and everything when nothing is used', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom('whole', 'quarter'), fc.nat(40))), (steps) => {
        const pool = new PagePool({ bytesMax: 4 * PAGE_BYTES })
        const used: Page[] = []
        for (const step of steps) {
          if (typeof step === 'number') {
            const [page] = used.splice(step % Math.max(1, used.length), 1)
            if (page !== undefined) pool.release(page)
            continue
          }
          const page = pool.take(step === 'whole' ? PAGE_BYTES : QUARTER)
          if (page === undefined) continue
          const start = page.bytes.byteOffset
          const overlapping = used.filter(
            ({ bytes }) =>
              bytes.buffer === page.bytes.buffer &&
              bytes.byteOffset < start + page.bytes.length &&
              start < bytes.byteOffset + bytes.length,
          )
          expect(overlapping).toEqual([])
          used.push(page)
          expect(pool.pageCount).toBeLessThanOrEqual(4)
        }
        for (const page of used) pool.release(page)
        expect(pool.usedCount).toBe(0)
        for (let i = 0; i < 4; i++) expect(pool.take()).toBeDefined()
        pool.stop()
      }),
    )
  })
})
