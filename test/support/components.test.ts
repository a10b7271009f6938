/**
 * Goal: honest skipping. A suite whose component is missing is named with what to install, and becomes a failure where
 * components are required. Method: one small run of vitest in a process of its own, with an empty PATH for the search.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { componentsAreRequired, missingComponents, programPaths } from './components.ts'
import { closingLine, skipReport } from './missing-components-reporter.ts'
import { ProcessEndedError, runProcess } from './process.ts'
import { temporaryFolder } from './temporary-folder.ts'

describe('components', () => {
  test('a component without a trouble is not missing', () => {
    expect(programPaths('sh').length).toBeGreaterThan(0)
    expect(programPaths('shoal-no-such-program')).toEqual([])
    expect(missingComponents([])).toEqual([])
  })

  test.each([
    [{}, false],
    [{ CI: 'true' }, true],
    [{ CI: '1' }, true],
    [{ CI: '' }, false],
    [{ CI: 'false' }, false],
    [{ SHOAL_REQUIRE_COMPONENTS: '1' }, true],
    [{ SHOAL_REQUIRE_COMPONENTS: '0', CI: 'true' }, false],
  ])('with %j a missing component is an error: %s', (environment, required) => {
    expect(componentsAreRequired(environment)).toBe(required)
  })

  test('the report names suite, component and remedy, and says nothing when there is nothing', () => {
    expect(skipReport([])).toEqual([])
    const missing = [
      { name: 'skopeo' as const, reason: 'not on PATH: skopeo', remedy: 'apt-get install skopeo' },
    ]
    const report = skipReport([
      { title: 'a.test.ts › one', missing },
      { title: 'b.test.ts › two', missing },
    ])
    expect(report.filter((line) => line.includes('apt-get'))).toHaveLength(1)
    expect(report.join('\n')).toContain('b.test.ts › two\n      needs skopeo (not on PATH: skopeo)')
    expect(closingLine({ passed: 3, failed: 0, skipped: 2 })).toBe('3 passed, 0 failed, 2 skipped')
  })
})

describe('a run without skopeo', () => {
  const suite = `
    import { expect, test } from 'vitest'
    import { describeWith } from ${source('describe-with.ts')}
    test('always', () => expect(1).toBe(1))
    describeWith(['skopeo'], 'copies', () => {
      test('one', () => {})
      test('two', () => {})
    })`

  test('skips the suite, names it, and counts in the last line', async () => {
    const { stdout } = await run(suite, { SHOAL_REQUIRE_COMPONENTS: '0' })
    expect(stdout).toMatch(/fixture\.test\.ts › copies\n\s+needs skopeo/)
    expect(stdout).toContain('apt-get install --no-install-recommends skopeo')
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('1 passed, 0 failed, 2 skipped')
  })

  test('fails where components are required', async () => {
    const failure = await run(suite, { SHOAL_REQUIRE_COMPONENTS: '1' }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(ProcessEndedError)
    expect(String(failure)).toContain('skopeo is required here and missing')
    expect(String(failure)).toMatch(/^1 passed, 1 failed, 0 skipped$/m)
  })

  test('says what only an optional component is missing for, and counts nothing, where components are required', async () => {
    const { stdout } = await run(suite.replace("['skopeo']", "['helm']"), { SHOAL_REQUIRE_COMPONENTS: '1' })
    expect(stdout).toMatch(/fixture\.test\.ts › copies\n\s+needs helm/)
    expect(stdout.trimEnd().split('\n').at(-1)).toBe('1 passed, 0 failed, 0 skipped')
  })

  test('a file that does not load is a failure in the count as well', async () => {
    const failure = await run(`throw new Error('broken')`, {}).catch((error: unknown) => error)
    expect(String(failure)).toMatch(/^0 passed, 1 failed, 0 skipped$/m)
  })
})

/** Runs vitest on one file, in a world where the folders that are searched for programs hold nothing. */
async function run(testFile: string, env: Record<string, string>): Promise<{ stdout: string }> {
  await using folder = await temporaryFolder('vitest')
  await writeFile(join(folder.path, 'fixture.test.ts'), testFile)
  await writeFile(
    join(folder.path, 'vitest.config.js'),
    `export default { test: { include: ['*.test.ts'], reporters: ['default', ${source('missing-components-reporter.ts')}] } }`,
  )
  const vitest = fileURLToPath(import.meta.resolve('vitest/package.json')).replace(
    'package.json',
    'vitest.mjs',
  )
  return await runProcess(process.execPath, [vitest, 'run', '--root', folder.path], {
    env: { PATH: folder.path, NO_COLOR: '1', ...env },
  })
}

function source(name: string): string {
  return JSON.stringify(fileURLToPath(new URL(name, import.meta.url)))
}
