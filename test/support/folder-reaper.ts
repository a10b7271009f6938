/**
 * A program beside each test process that outlives it: hears on its standard input which folders exist (`+path`) and
 * which were removed (`-path`), and when the input ends, because the test process ended in whatever way, removes the rest.
 */
import { createInterface } from 'node:readline'
import { removeWithTraces } from './folder-traces.ts'

const folders = new Set<string>()
for await (const line of createInterface({ input: process.stdin })) {
  const path = line.slice(1)
  if (line.startsWith('+')) folders.add(path)
  else folders.delete(path)
}
for (const path of folders) await removeWithTraces(path)
