/**
 * Goal: the findings have the form that findings/README.md states, and its table lists all of them.
 * Method: the scripts are read, not run: they install others' software.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const FOLDER = new URL('../../findings/', import.meta.url)
const read = (name: string) => readFileSync(new URL(name, FOLDER), 'utf8')
const scripts = readdirSync(FOLDER).filter((name) => name !== 'README.md')

test('the table lists every script', () => {
  const listed = [...read('README.md').matchAll(/^\| \[([a-z0-9-]+)\]\((.+?)\) \| (.+) \|$/gm)]
  expect(listed.map(([, , name]) => name)).toEqual(scripts.toSorted())
  for (const [, title, name] of listed) expect(name).toBe(`${title}.sh`)
})

test.each(scripts)('%s has its form', (name) => {
  const text = read(name)
  const [shell, first, empty] = text.split('\n')
  expect(shell).toBe('#!/usr/bin/env bash')
  // What surprises, and of which version; the surprise of several is in the paragraph below.
  expect(first).toMatch(/^# .*\.$/)
  expect(empty).toBe('#')
  const head = text.slice(0, text.indexOf('set -euo pipefail'))
  expect(head).toMatch(/\d+\.\d+\.\d+/)
  expect(head).toMatch(/^# Needs /m)
  expect(head).toContain('Exits with 1 when any of this changes.')
  expect(text).toContain('folder=$(mktemp -d)')
  expect(text).toMatch(/^trap '.*rm -rf "\$folder"' EXIT$/m)
  expect(text).toMatch(/^diff - \w+ <<'SEEN'$/m)
})
