/**
 * Goal: docs/how-it-works.md knows every metric and every log event, and none that is gone.
 * Method: reads the sources for the names; the page is searched for them in backquotes.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const page = readFileSync(join(root, 'docs/how-it-works.md'), 'utf8')
const sources = readdirSync(join(root, 'packages'), { recursive: true, encoding: 'utf8' })
  .filter((path) => /^[a-z-]+\/src\/.*\.ts$/.test(path) && !/\.(test|bench|d)\.ts$|\/testing\//.test(path))
  .map((path) => ({ path, text: readFileSync(join(root, 'packages', path), 'utf8') }))

function namesIn(pattern: RegExp, pathPattern: RegExp): Set<string> {
  const texts = sources.filter(({ path }) => pathPattern.test(path)).map(({ text }) => text)
  return new Set(texts.flatMap((text) => [...text.matchAll(pattern)].map(([, name]) => name!)))
}

const metrics = namesIn(/'(shoal_[a-z_]+)'/g, /\/metrics\.ts$/)
const events = namesIn(/\bevent: '([a-z-]+)'/g, /./)

test('every metric is explained', () => {
  expect(metrics.size).toBeGreaterThan(10)
  const inPage = new Set([...page.matchAll(/^\| `(shoal_[a-z_]+)/gm)].map(([, name]) => name!))
  expect([...inPage].sort()).toEqual([...metrics].sort())
})

test('every log event is explained', () => {
  expect(events.size).toBeGreaterThan(20)
  const tables = page.slice(page.indexOf('## Log events'))
  const firstCells = [...tables.matchAll(/^\| (`[^|]+`) \|/gm)].map(([, cell]) => cell!)
  const inPage = new Set(
    firstCells.flatMap((cell) => [...cell.matchAll(/`([a-z-]+)`/g)].map(([, name]) => name!)),
  )
  expect([...inPage].sort()).toEqual([...events].sort())
})
