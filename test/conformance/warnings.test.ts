/**
 * Goal: a warning has the form that clients show to people, and an answer without anything to warn of has none. OCI
 * distribution specification, "Warnings".
 * Method: the registry's routes over a backend that warns; then plain pulls from every face.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call } from './client.ts'
import { freshImage, freshRepository } from './content.ts'
import { describeFaces, type Face } from './faces.ts'
import { type InProcessRegistry, startInProcess } from './in-process.ts'
import { pushImage } from './pushing.ts'

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

describeFaces((face: Face) => {
  describe('warnings', () => {
    it('are not given where there is nothing to warn of', async () => {
      const name = freshRepository()
      const image = freshImage()
      await pushImage(face.pushUrl, name, image, '1')
      for (const path of ['manifests/1', `blobs/${image.blobs[0]!.digest}`, 'tags/list'])
        expect((await call(face.url, 'GET', `/v2/${name}/${path}`)).header('warning')).toBeUndefined()
    })
  })
})
