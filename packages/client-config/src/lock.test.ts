/**
 * Goal: one holder at a time, a bounded wait, and no lock on a file that nobody else sees.
 * Method: two locks of one process, which SQLite keeps apart as it does those of two.
 */
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ClientConfigBusyError, HostFileError } from './errors.ts'
import { takeLock } from './lock.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shoal-lock-'))
  path = join(folder, 'lock')
  writeFileSync(path, '')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('is held by one, who is waited for no longer than told', () => {
  const lock = takeLock(path)
  expect(() => takeLock(path, 50)).toThrow(ClientConfigBusyError)
  lock?.release()
  takeLock(path, 50)?.release()
  expect(readdirSync(folder)).toEqual(['lock'])
})

test('is none when the file is another by then', () => {
  const other = join(folder, 'other')
  writeFileSync(other, '')
  expect(takeLock(join(folder, 'missing'))).toBeUndefined()
  renameSync(other, path)
  expect(takeLock(path)).toBeDefined()
})

test('is none on what is no empty file', () => {
  writeFileSync(path, 'x'.repeat(4_096))
  expect(() => takeLock(path)).toThrow(HostFileError)
  expect(() => takeLock(join(folder, 'nowhere/lock'))).toThrow(HostFileError)
})
