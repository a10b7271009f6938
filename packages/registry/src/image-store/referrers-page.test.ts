/** Goal: pages of a list that is known whole lose nothing, and are bounded in bytes and in number. */
import { parseDigest } from '@shoal/core'
import type { Referrer } from '@shoal/oci'
import { expect, test } from 'vitest'
import { cutReferrersPage, PAGE_BYTES_MAX, PAGE_REFERRERS_MAX } from './referrers-page.ts'

const referrer = (n: number, annotationBytes: number): Referrer => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: parseDigest(`sha256:${`${n}`.padStart(64, '0')}`),
  size: n,
  annotations: { text: 'x'.repeat(annotationBytes) },
})

function walk(list: readonly Referrer[]): Referrer[][] {
  const pages: Referrer[][] = []
  let after: string | undefined
  do {
    const page = cutReferrersPage(list, after)
    pages.push([...page.referrers])
    after = page.next
  } while (after !== undefined)
  return pages
}

test('short ones are a page of a hundred, in the order of digests', () => {
  const list = Array.from({ length: 250 }, (_, n) => referrer(n, 10))
  const pages = walk(list.toReversed())
  expect(pages.map(({ length }) => length)).toEqual([PAGE_REFERRERS_MAX, PAGE_REFERRERS_MAX, 50])
  expect(pages.flat()).toEqual(list)
})

test('long ones are a page each', () => {
  const list = Array.from({ length: 4 }, (_, n) => referrer(n, PAGE_BYTES_MAX + 1))
  expect(walk(list).map(({ length }) => length)).toEqual([1, 1, 1, 1])
})

test('what goes between two pages moves nothing else', () => {
  const list = Array.from({ length: 150 }, (_, n) => referrer(n, 10))
  const { next } = cutReferrersPage(list, undefined)
  const { referrers } = cutReferrersPage(list.slice(99), next)
  expect(referrers).toEqual(list.slice(100))
})

test('of none is an empty page', () => {
  expect(cutReferrersPage([], undefined)).toEqual({ referrers: [] })
})
