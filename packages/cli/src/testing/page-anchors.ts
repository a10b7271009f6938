/** The links of a page of docs/ to its own headings. */
import { expect } from 'vitest'

/** @param anchorsMin so many at least: a page whose links are not found would pass */
export function expectAnchorsToLead(page: string, anchorsMin = 10): void {
  const headings = [...page.matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
    text!
      .toLowerCase()
      .replace(/[^a-z0-9 -]/g, '')
      .replaceAll(' ', '-'),
  )
  const anchors = [...page.matchAll(/\]\(#([^)]*)\)/g)].map(([, anchor]) => anchor)
  expect(anchors.length).toBeGreaterThanOrEqual(anchorsMin)
  expect(headings).toEqual(expect.arrayContaining(anchors))
}
