/**
 * For test files that share a process: what a file changed for the whole process is changed back behind it, and a file that
 * leaves another environment than it found fails, rather than the one that comes next.
 */
import { afterAll, expect, vi } from 'vitest'

const found = { ...process.env }

// The first that is registered is the last that runs: behind the file's own.
afterAll(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  vi.unstubAllGlobals()
  vi.unstubAllEnvs()
  const names = new Set([...Object.keys(found), ...Object.keys(process.env)])
  const changed = [...names].filter((name) => process.env[name] !== found[name])
  // Names alone: a value may be a secret of this machine.
  expect(changed, 'variables that this file leaves to the next').toEqual([])
})
