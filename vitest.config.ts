import { defineConfig } from 'vitest/config'

// Tests import the packages' sources through the `shoal-source` export condition, so that a failing
// line is a line of the source; programs that tests start as processes run from dist/.
const conditions = ['shoal-source', 'node', 'import', 'module', 'default']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 120_000,
  },
})
