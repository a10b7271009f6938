/**
 * How much of a list of referrers is one answer. Pure.
 *
 * Annotations belong into the answer (OCI distribution specification, "Listing Referrers") and may be as long as a manifest,
 * so that an answer is counted in bytes. It has one referrer at least: none is left out, however long it is.
 */
import { torrentName } from '@shoal/core'
import type { Referrer } from '@shoal/oci'
import type { ReferrersPage } from '../backend.ts'

/** oras takes documents of 4 MiB, and reads them whole. */
export const PAGE_BYTES_MAX = 2 * 1024 * 1024
export const PAGE_REFERRERS_MAX = 100

/** Whether another one of so many bytes still belongs into the page. */
export function fitsPage(page: { readonly count: number; readonly bytes: number }, bytes: number): boolean {
  if (page.count === 0) return true
  return page.count < PAGE_REFERRERS_MAX && page.bytes + bytes <= PAGE_BYTES_MAX
}

/**
 * The page that follows `after` of a list that is known whole, in the order of digests: what comes and goes between two
 * pages moves nothing else.
 */
export function cutReferrersPage(referrers: readonly Referrer[], after: string | undefined): ReferrersPage {
  const rest = referrers
    .map((referrer) => ({ referrer, at: torrentName(referrer.digest) }))
    .filter(({ at }) => after === undefined || at > after)
    .toSorted((a, b) => (a.at < b.at ? -1 : 1))
  const page: Referrer[] = []
  let bytes = 0
  let next = ''
  for (const { referrer, at } of rest) {
    const its = Buffer.byteLength(JSON.stringify(referrer))
    if (!fitsPage({ count: page.length, bytes }, its)) return { referrers: page, next }
    next = at
    page.push(referrer)
    bytes += its
  }
  return { referrers: page }
}
