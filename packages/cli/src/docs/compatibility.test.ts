/**
 * Goal: docs/compatibility.md and docs/clients.md say of every line how it was seen, and the tests that they name are there.
 * Method: reads the pages' tables; compares files with the tree.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { expectAnchorsToLead } from '../testing/page-anchors.ts'

const SEEN = /^(run|source|docs|report)\b/
const pages = [
  { name: 'compatibility.md', head: '| what | version | what it does | seen | test |', tables: 5, rows: 40 },
  { name: 'clients.md', head: '| client | version | what it does | seen |', tables: 6, rows: 28 },
]

describe.each(pages)('$name', ({ name, head, tables, rows: rowsMin }) => {
  const path = fileURLToPath(new URL(`../../../../docs/${name}`, import.meta.url))
  const page = readFileSync(path, 'utf8')
  const rows = page
    .split('\n')
    .filter((line) => line.startsWith('| ') && line !== head && !line.startsWith('| ---'))
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()))
  const links = [...page.matchAll(/\[([^\]]+)\]\(([^)#]+)\.test\.ts\)/g)]

  test('has the same columns in every table, and no empty cell', () => {
    expect(page.split(head)).toHaveLength(1 + tables)
    expect(rows.length).toBeGreaterThanOrEqual(rowsMin)
    const columns = head.split('|').length - 2
    for (const cells of rows) {
      expect(cells, cells.join(' | ')).toHaveLength(columns)
      expect(cells).not.toContain('')
    }
  })

  test('says of every line how it was seen', () => {
    for (const cells of rows) expect(cells[3], cells.join(' | ')).toMatch(SEEN)
  })

  test('names tests that there are, by their own names', () => {
    expect(links.filter(([, , link]) => !existsSync(join(dirname(path), `${link}.test.ts`)))).toEqual([])
    for (const [, title, link] of links) expect(link).toMatch(new RegExp(`/${title}$`))
  })

  test('has anchors that lead somewhere', () => {
    expectAnchorsToLead(page, tables)
  })
})

test('a line of compatibility.md names a test, or says that nothing depends on it', () => {
  const page = readFileSync(
    fileURLToPath(new URL('../../../../docs/compatibility.md', import.meta.url)),
    'utf8',
  )
  const lines = page.split('\n').filter((line) => /^\| .*\| (run|source|docs|report)/.test(line))
  expect(lines.length).toBeGreaterThan(0)
  for (const line of lines)
    expect(line).toMatch(/\| (—|\[[^\]]+\]\([^)]+\.test\.ts\)(, \[[^\]]+\]\([^)]+\.test\.ts\))*) \|$/)
})
