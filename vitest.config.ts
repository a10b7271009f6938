import { defineConfig } from 'vitest/config'
import { LongFilesFirst } from './test/support/long-files-first.ts'

// Tests import the packages' sources through the `shoal-source` export condition, so that a failing
// line is a line of the source; programs that tests start as processes run from dist/.
// Node's own conditions and no others: `module` would lead to files for bundlers, which Node cannot load.
const conditions = ['shoal-source', 'node', 'import', 'default']
/** What is measured in them (who served a byte, how long a restart took) must not depend on a neighbour. */
const alone = [
  'test/faults/**/*.test.ts',
  'test/security/storm.test.ts',
  'test/e2e/{cut-through,fan-out,fanout-live}.test.ts',
]
const resolution = { resolve: { conditions }, ssr: { resolve: { conditions } } }

export default defineConfig({
  ...resolution,
  test: {
    sequence: { sequencer: LongFilesFirst },
    reporters: ['default', './test/support/missing-components-reporter.ts'],
    projects: [
      {
        ...resolution,
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts'],
          // One worker fewer than cores is vitest's choice: on two cores one would have nothing to do.
          maxWorkers: '100%',
          testTimeout: 30_000,
          hookTimeout: 120_000,
        },
      },
      {
        ...resolution,
        test: {
          name: 'e2e',
          include: ['test/**/*.test.ts'],
          exclude: alone,
          // What is right does not depend on how fast it is: three files at a time, each with daemons of its own. They wait for
          // them half of the time; with two files at a time, two cores are a third idle.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
      {
        ...resolution,
        test: {
          name: 'alone',
          include: alone,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
})
