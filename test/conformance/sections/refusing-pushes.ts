import { describe, expect, it } from 'vitest'
import { call, expectRefusal } from '../client.ts'
import { freshContent, freshImage, freshRepository, nobody } from '../content.ts'
import type { Face } from '../faces.ts'
import { putManifest } from '../pushing.ts'

/** What a face answers that cannot be pushed to: a client must learn at once that it should push elsewhere. */
export function refusingPushes(face: Face): void {
  describe('a registry that cannot be pushed to', () => {
    const uploads = `/v2/${freshRepository()}/blobs/uploads`
    const blob = freshContent(100_000)

    it.each([
      ['an upload', 'POST', () => `${uploads}/`],
      ['an upload without the last slash', 'POST', () => uploads],
      ['a blob in one POST', 'POST', () => `${uploads}/?digest=${blob.digest}`],
      ['a mount', 'POST', () => `${uploads}/?mount=${blob.digest}&from=some/where`],
      ['a chunk', 'PATCH', () => `${uploads}/some-id`],
      ['the end of an upload', 'PUT', () => `${uploads}/some-id?digest=${blob.digest}`],
      ['a look at an upload', 'GET', () => `${uploads}/some-id`],
      ['a cancellation', 'DELETE', () => `${uploads}/some-id`],
    ] as const)('refuses %s with 405', async (_what, method, path) => {
      const body = ['GET', 'DELETE'].includes(method) ? {} : { body: blob.bytes }
      expectRefusal(await call(face.url, method, path(), body), 405, 'UNSUPPORTED')
    })

    it('refuses manifests by tag and by digest with 405', async () => {
      const { manifest } = freshImage()
      for (const reference of ['latest', manifest.digest, nobody('sha512')])
        expectRefusal(await putManifest(face.url, freshRepository(), reference, manifest), 405, 'UNSUPPORTED')
    })

    it('keeps the connection for the next request', async () => {
      expect((await call(face.url, 'POST', `${uploads}/`, { body: blob.bytes })).status).toBe(405)
      expect((await call(face.url, 'GET', '/v2/')).status).toBe(200)
    })
  })
}
