/**
 * Goal: what is deleted is gone at once and nothing else is; where deletion is off, it is off for tags too. OCI distribution
 * specification, "Content Management" (end-9, end-10).
 * Method: pushed, looked at so that every cache knows it, deleted, looked at again from all sides.
 */
import { afterAll, beforeAll, describe } from 'vitest'
import { describeFaces } from './faces.ts'
import { type InProcessRegistry, startInProcess } from './in-process.ts'
import { contentManagement, refusingDeletions } from './sections/content-management.ts'

describeFaces(contentManagement)

describe('a registry with deletion switched off', () => {
  let registry: InProcessRegistry
  beforeAll(async () => {
    registry = await startInProcess({ allowDelete: false })
  })
  afterAll(() => registry?.stop())
  refusingDeletions({
    get url() {
      return registry.url
    },
    get pushUrl() {
      return registry.url
    },
  })
})
