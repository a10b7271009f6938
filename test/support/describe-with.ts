/**
 * Suites that need real components: run where those are, skipped by name where they are not, failed where a missing
 * component is an error (see `componentsAreRequired`). The reporter beside this file reads what is recorded here.
 */
import { describe, test } from 'vitest'
import {
  type ComponentName,
  componentsAreRequired,
  type MissingComponent,
  missingComponents,
} from './components.ts'

declare module 'vitest' {
  interface TaskMeta {
    /** On a suite that was skipped: what it waits for. */
    missingComponents?: MissingComponent[]
  }
}

/** A suite was asked for that cannot run here, where skipping is not allowed. */
class MissingComponentError extends Error {
  readonly code = 'TEST_COMPONENT_MISSING'
  readonly missing: MissingComponent

  constructor(missing: MissingComponent) {
    super(`${missing.name} is required here and missing (${missing.reason}); ${missing.remedy}`)
    this.missing = missing
  }
}

/**
 * `describe` for a suite that needs every one of `components`.
 * The body must start nothing outside hooks and tests: it is collected even when the suite is skipped, so that the
 * number of skipped tests is the true one.
 */
export function describeWith(components: readonly ComponentName[], title: string, body: () => void): void {
  const missing = missingComponents(components)
  if (missing.length === 0) {
    describe(title, body)
  } else if (componentsAreRequired() && !missing.every(({ isOptional }) => isOptional)) {
    describe(title, () => {
      for (const one of missing.filter(({ isOptional }) => !isOptional)) {
        test(`needs ${one.name}`, () => {
          throw new MissingComponentError(one)
        })
      }
    })
  } else {
    // Where components are required, nothing counts as skipped: what no machine there can have is said, and is not missed.
    const counted = componentsAreRequired() ? () => {} : body
    describe(title, { skip: true, meta: { missingComponents: missing } }, counted)
  }
}
