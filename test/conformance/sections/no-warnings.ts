/** Goal: an answer without anything to warn of has no warning. OCI distribution specification, "Warnings". */
import { describe, expect, it } from 'vitest'
import { call } from '../client.ts'
import { freshImage, freshRepository } from '../content.ts'
import type { Face } from '../faces.ts'
import { pushImage } from '../pushing.ts'

export function noWarnings(face: Face): void {
  describe('warnings', () => {
    it('are not given where there is nothing to warn of', async () => {
      const name = freshRepository()
      const image = freshImage()
      await pushImage(face.pushUrl, name, image, '1')
      for (const path of ['manifests/1', `blobs/${image.blobs[0]!.digest}`, 'tags/list'])
        expect((await call(face.url, 'GET', `/v2/${name}/${path}`)).header('warning')).toBeUndefined()
    })
  })
}
