/**
 * Goal: what the specification leaves to a registry, and no service has a setting for yet: deletion switched off, which then is
 * off for tags too ("Content Management"), and warnings, in the form that clients show to people ("Warnings").
 * Method: the registry's routes in this process, without deletion, then over a backend that warns.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call } from './client.ts'
import { freshImage, freshRepository } from './content.ts'
import { type InProcessRegistry, startInProcess } from './in-process.ts'
import { pushImage } from './pushing.ts'
import { refusingDeletions } from './sections/content-management.ts'

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

describe('a registry that warns', () => {
  let registry: InProcessRegistry
  beforeAll(async () => {
    registry = await startInProcess({ warning: `may be "stale"\r\nX-Evil: 1 ünd lang ${'g'.repeat(10_000)}` })
  })
  afterAll(() => registry?.stop())

  it.each(['GET', 'HEAD'] as const)(
    'does so with code 299, no date, in 4096 bytes, on %s',
    async (method) => {
      const name = freshRepository()
      await pushImage(registry.url, name, freshImage(), '1')
      const answer = await call(registry.url, method, `/v2/${name}/manifests/1`)
      expect(answer.status).toBe(200)
      const warning = answer.header('warning')!
      // warn-code, warn-agent, quoted warn-text; no warn-date.
      expect(warning).toMatch(/^299 - "(?:[^"\\]|\\.)*"$/)
      expect(warning).toMatch(/^[\x20-\x7e]*$/)
      expect(warning.length).toBeLessThanOrEqual(4_096)
      expect(answer.header('x-evil')).toBeUndefined()
    },
  )
})
