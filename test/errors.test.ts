/**
 * Goal: every error that Shoal raises on purpose can be told from a bug, by its class and code.
 * Method: the sources are read as text. The rule stands in packages/core/src/errors.ts: a plain error is a reason that a signal is
 * aborted with or a connection closed with, and nothing else.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const PACKAGES = fileURLToPath(new URL('../packages', import.meta.url))
/** By path, and why. */
const NOT_RAISED_HERE: Readonly<Record<string, string>> = {
  'cli/src/demo/demo-image.ts': 'a program that runs inside of the image',
}
const PLAIN = /(.{0,60})\bnew (?:Type|Range|Syntax|Aggregate|URI)?Error\(/gs
const IS_REASON = /\.(?:abort|destroy|close)\(\s*$/

it('no source raises a plain error', () => {
  const raised = readdirSync(PACKAGES, { recursive: true, encoding: 'utf8' })
    .filter((path) => /^[a-z-]+\/src\/.*\.ts$/.test(path))
    .filter((path) => !/\.(test|bench)\.ts$|\/testing\/|^testing\//.test(path))
    .flatMap((path) => {
      const text = readFileSync(join(PACKAGES, path), 'utf8')
      const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
      return [...code.matchAll(PLAIN)].filter(([, before]) => !IS_REASON.test(before!)).map(() => path)
    })
  expect(raised.filter((path) => NOT_RAISED_HERE[path] === undefined)).toEqual([])
})
