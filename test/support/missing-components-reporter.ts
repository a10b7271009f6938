/**
 * Ends a run by naming every suite that was skipped for want of a component and what to install for it; the very last
 * line counts, for readers that are programs: `N passed, N failed, N skipped`.
 * Stands after the default reporter in the list, so that nothing is printed behind it.
 */
import type { Reporter, TestCase, TestModule, TestSuite, Vitest } from 'vitest/node'
import type { MissingComponent } from './components.ts'
// Types only: the suites' metadata that this reporter reads.

export interface SkippedSuite {
  /** `file › suite › suite`. */
  readonly title: string
  readonly missing: readonly MissingComponent[]
}

export interface Counts {
  passed: number
  failed: number
  skipped: number
}

export default class MissingComponentsReporter implements Reporter {
  #print: (line: string) => void = () => {}

  onInit(vitest: Vitest): void {
    this.#print = (line) => vitest.logger.log(line)
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    for (const line of skipReport(modules.flatMap(skippedSuites))) this.#print(line)
    this.#print(closingLine(countRun(modules, unhandledErrors.length)))
  }
}

/** @returns the lines that explain what was skipped, none when nothing was. */
export function skipReport(suites: readonly SkippedSuite[]): string[] {
  if (suites.length === 0) return []
  const lines = ['', 'Skipped, because a component that they run against is missing:']
  for (const { title, missing } of suites) {
    lines.push(`  ${title}`, ...missing.map(({ name, reason }) => `      needs ${name} (${reason})`))
  }
  const remedies = new Set(suites.flatMap(({ missing }) => missing.map(({ remedy }) => remedy)))
  return [...lines, 'To run them:', ...[...remedies].sort().map((remedy) => `  ${remedy}`), '']
}

export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

/**
 * Counts tests; whatever fails outside a test (a file that does not load, a hook, an unhandled error) counts as one
 * failure each, so that "0 failed" is never said of a run that failed.
 */
function countRun(modules: readonly TestModule[], unhandledErrorCount: number): Counts {
  const counts = { passed: 0, failed: unhandledErrorCount, skipped: 0 }
  for (const module of modules) {
    counts.failed += module.errors().length
    for (const suite of module.children.allSuites()) counts.failed += suite.errors().length
    for (const test of module.children.allTests()) counts[outcome(test)] += 1
  }
  return counts
}

function outcome(test: TestCase): keyof Counts {
  const { state } = test.result()
  return state === 'passed' || state === 'failed' ? state : 'skipped'
}

function skippedSuites(module: TestModule): SkippedSuite[] {
  const suites: SkippedSuite[] = []
  for (const suite of module.children.allSuites()) {
    const { missingComponents } = suite.meta()
    if (missingComponents)
      suites.push({ title: `${module.relativeModuleId} › ${path(suite)}`, missing: missingComponents })
  }
  return suites
}

function path(suite: TestSuite): string {
  return suite.fullName.replaceAll(' > ', ' › ')
}
