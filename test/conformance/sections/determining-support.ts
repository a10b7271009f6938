/**
 * Goal: a client learns that this is a registry, and that it needs no credentials. OCI distribution specification,
 * "Determining Support" (end-1).
 * Method: plain HTTP against every face.
 */
import { describe, expect, it } from 'vitest'
import { call, expectRefusal } from '../client.ts'
import type { Face } from '../faces.ts'

export function determiningSupport(face: Face): void {
  describe('determining support', () => {
    it.each(['/v2/', '/v2'])('answers GET %s with 200 and the old version header', async (path) => {
      const answer = await call(face.url, 'GET', path)
      expect(answer.status).toBe(200)
      expect(answer.header('docker-distribution-api-version')).toBe('registry/2.0')
      expect(answer.json()).toEqual({})
    })

    it('answers HEAD as well, without a body', async () => {
      const answer = await call(face.url, 'HEAD', '/v2/')
      expect([answer.status, answer.bytes.length]).toEqual([200, 0])
    })

    it('never asks for credentials: a mirror that did would be sent those of another registry', async () => {
      for (const path of ['/v2/', '/v2/nobody/app/manifests/1', '/v2/nobody/app/tags/list'])
        expect((await call(face.url, 'GET', path)).header('www-authenticate')).toBeUndefined()
    })

    it('is not to be written to', async () => {
      expectRefusal(await call(face.url, 'POST', '/v2/'), 405, 'UNSUPPORTED')
    })
  })
}
