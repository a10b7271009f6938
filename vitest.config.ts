import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { filesOfTheirOwn } from './test/support/files-of-their-own.ts'
import { LongFilesFirst } from './test/support/long-files-first.ts'

// Tests import the packages' sources through the `shoal-source` export condition, so that a failing
// line is a line of the source; programs that tests start as processes run from dist/.
// Node's own conditions and no others: `module` would lead to files for bundlers, which Node cannot load.
const conditions = ['shoal-source', 'node', 'import', 'default']
const resolution = { resolve: { conditions }, ssr: { resolve: { conditions } } }

// Hundreds of processes begin in a run, tests' own and services that tests start. With what V8 compiled the last time, `shoal`
// begins with 0.8 s of a core instead of 1.3 s. Processes inherit the variable.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('node_modules/.cache/compiled', import.meta.url))

const UNIT = 'packages/*/src/**/*.test.ts'
const ACROSS = 'test/**/*.test.ts'
/** Half a minute of attacks from all sides, of each of which there must be enough: it has the machine for itself. */
const alone = ['test/security/storm.test.ts']
const own = filesOfTheirOwn(fileURLToPath(new URL('.', import.meta.url)), [UNIT, ACROSS])

/** Files one after another in processes that stay: a file imports what the one before it has imported already. */
const shared = { isolate: false, setupFiles: ['test/support/leave-as-found.ts'] }
// What is right does not depend on how fast it is. Many files wait half of the time for daemons of their own: on two cores, four
// files at a time keep both at work.
const together = { maxWorkers: Math.max(4, availableParallelism()), sequence: { groupOrder: 0 } }
// What is polled for comes when it comes: vitest's second is too short for a busy machine.
const patience = { expect: { poll: { timeout: 20_000 } } }
// They end what hangs, and nothing that is slow.
const times = { ...patience, testTimeout: 120_000, hookTimeout: 180_000 }

export default defineConfig({
  ...resolution,
  test: {
    sequence: { sequencer: LongFilesFirst },
    reporters: ['default', './test/support/missing-components-reporter.ts'],
    projects: [
      {
        ...resolution,
        test: { name: 'unit', include: [UNIT], exclude: own, ...shared, ...together, ...times },
      },
      {
        ...resolution,
        test: {
          name: 'e2e',
          include: [ACROSS],
          exclude: [...alone, ...own],
          ...shared,
          ...together,
          ...times,
        },
      },
      {
        ...resolution,
        test: { name: 'isolated', include: own, ...together, ...times },
      },
      {
        ...resolution,
        test: {
          name: 'alone',
          include: alone,
          ...shared,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
          ...times,
        },
      },
    ],
  },
})
