/** The links of a page of docs/ to its own headings. */
import { expect } from 'vitest'

export function expectAnchorsToLead(page: string): void {
  const headings = [...page.matchAll(/^#+ (.*)$/gm)].map(([, text]) =>
    text!
      .toLowerCase()
      .replace(/[^a-z0-9 -]/g, '')
      .replaceAll(' ', '-'),
  )
  const anchors = [...page.matchAll(/\]\(#([^)]*)\)/g)].map(([, anchor]) => anchor)
  expect(anchors.length).toBeGreaterThan(10)
  expect(headings).toEqual(expect.arrayContaining(anchors))
}
