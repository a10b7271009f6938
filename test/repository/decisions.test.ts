/**
 * Goal: every decision has a date and a status, those that were overtaken say by what, and the table lists all of them so.
 * Method: the pages are read and compared with the table.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const FOLDER = new URL('../../docs/decisions/', import.meta.url)
const read = (name: string) => readFileSync(new URL(name, FOLDER), 'utf8')
const names = readdirSync(FOLDER).filter((name) => name !== 'README.md')
const HEAD =
  /^# (?<title>.+)\n\n\*\*Decided\*\* (?<date>\d{4}-\d{2}-\d{2})\. \*\*Status\*\*: (?<status>accepted|(?:amended|superseded) by\s\[[^\]]+\]\((?<by>[a-z-]+\.md)\))/

test('there are decisions', () => {
  expect(names.length).toBeGreaterThan(10)
})

test.each(names)('%s has a date, a status and its three sections', (name) => {
  const page = read(name)
  const { by } = HEAD.exec(page)!.groups!
  if (by !== undefined) {
    expect(by).not.toBe(name)
    expect(existsSync(new URL(by, FOLDER)), by).toBe(true)
  }
  expect(page.match(/^## .*/gm)).toEqual(['## Context', '## Decision', '## Consequences'])
})

test('the table has a line for each, as the page itself says, in the order of their dates', () => {
  const rows = [...read('README.md').matchAll(/^\| (\d{4}-\d{2}-\d{2}) \| \[(.+?)\]\((.+?)\) \| (.+) \|$/gm)]
  expect(rows.map(([, , , name]) => name).toSorted()).toEqual(names.toSorted())
  for (const [, date, title, name, status] of rows) {
    const head = HEAD.exec(read(name!))!.groups!
    expect([title, date, status]).toEqual([head.title, head.date, head.status!.replace('\n', ' ')])
  }
  const dates = rows.map(([, date]) => date)
  expect(dates).toEqual(dates.toSorted())
})
