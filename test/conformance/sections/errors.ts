/**
 * Goal: every refusal is told in the specification's words: a status, a code, a JSON body, none for HEAD. OCI distribution
 * specification, "Error Codes".
 * Method: each code is provoked that needs no credentials: all of the fourteen but UNAUTHORIZED and DENIED, with those that
 * registries have in common beyond them. Names and digests that are none on every endpoint, exactly as they are written.
 */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { beforeAll, describe, expect, it } from 'vitest'
import { call, expectRefusal, rawConnection, readRaw } from '../client.ts'
import {
  freshContent,
  freshImage,
  freshRepository,
  type ImageContent,
  nobody,
  OCI_MANIFEST,
} from '../content.ts'
import type { Face } from '../faces.ts'
import { beginUpload, locationOf, pushImage, putManifest, withDigest } from '../pushing.ts'

/** What the seeder keeps open at a time; one more is told to come back. */
const UPLOADS_PER_ADDRESS_MAX = 96

export function errors(face: Face): void {
  describe('error codes of pulls', () => {
    const repository = freshRepository()
    const image: ImageContent = freshImage()
    beforeAll(async () => {
      await pushImage(face.pushUrl, repository, image, '1')
      // An agent knows the repository once it was pulled from.
      await call(face.url, 'GET', `/v2/${repository}/manifests/1`)
    })

    const refusals: [string, () => string, number, string][] = [
      ['a blob that is not there', () => `${repository}/blobs/${nobody()}`, 404, 'BLOB_UNKNOWN'],
      ['a manifest that is not there', () => `${repository}/manifests/${nobody()}`, 404, 'MANIFEST_UNKNOWN'],
      ['a tag that is not there', () => `${repository}/manifests/2`, 404, 'MANIFEST_UNKNOWN'],
      ['a repository that is not there', () => `${freshRepository()}/manifests/1`, 404, 'NAME_UNKNOWN'],
      ['the tags of none', () => `${freshRepository()}/tags/list`, 404, 'NAME_UNKNOWN'],
      ['a digest that is none', () => `${repository}/blobs/sha256:abc`, 400, 'DIGEST_INVALID'],
      ['a manifest’s digest that is none', () => `${repository}/manifests/a:b`, 400, 'DIGEST_INVALID'],
      ['a subject that is none', () => `${repository}/referrers/x`, 400, 'DIGEST_INVALID'],
      ['a page of x', () => `${repository}/tags/list?n=x`, 400, 'PAGINATION_NUMBER_INVALID'],
      ['an endpoint that is none', () => `${repository}/nothing/here`, 404, 'UNSUPPORTED'],
    ]
    it.each(refusals)('%s', async (_what, path, status, code) => {
      expectRefusal(await call(face.url, 'GET', `/v2/${path()}`), status, code)
    })

    it('HEAD is answered with the same status and without a body', async () => {
      for (const [path, status] of [
        [`blobs/${nobody()}`, 404],
        [`manifests/${nobody()}`, 404],
        ['manifests/2', 404],
        ['blobs/sha256:abc', 400],
        ['manifests/a:b', 400],
      ] as const) {
        const answer = await call(face.url, 'HEAD', `/v2/${repository}/${path}`)
        expect([path, answer.status, answer.bytes.length]).toEqual([path, status, 0])
      }
    })

    it.each([
      'Capital',
      'a//b',
      'a/',
      '-a',
      'a-',
      'a..b',
      'a.-b',
      'a___b',
      'a b',
      'ü',
      'a/Üb',
      '..',
      'a/../b',
      '.',
      'a%2fb',
      'a%2Fb%2Fc',
      '%2e%2e/a',
      'a%00b',
      'a%zz',
      '_uploads',
      'a/_uploads',
      'a:b',
      'a@b',
      'a\\b',
      `${'x'.repeat(256)}`,
      `${'a/'.repeat(200)}b`,
    ])('NAME_INVALID for the name %j, on every endpoint', async (name) => {
      const path = encodeUnsafe(name)
      for (const rest of ['manifests/1', `blobs/${nobody()}`, 'tags/list', `referrers/${nobody()}`])
        expectRefusal(await call(face.url, 'GET', `/v2/${path}/${rest}`), 400, 'NAME_INVALID')
      for (const rest of ['manifests/1', `blobs/${nobody()}`])
        expect((await call(face.url, 'HEAD', `/v2/${path}/${rest}`)).status).toBe(400)
    })

    it('UNSUPPORTED for methods that an endpoint does not have, with those that it has', async () => {
      for (const [method, path] of [
        ['POST', 'manifests/1'],
        ['PATCH', 'manifests/1'],
        ['POST', `blobs/${nobody()}`],
        ['PUT', `blobs/${nobody()}`],
        ['PATCH', `blobs/${nobody()}`],
        ['PUT', 'tags/list'],
        ['DELETE', 'tags/list'],
        ['POST', `referrers/${nobody()}`],
        ['DELETE', `referrers/${nobody()}`],
        ['GET', 'blobs/uploads/'],
        ['PUT', 'blobs/uploads/'],
        ['OPTIONS', 'manifests/1'],
      ] as const) {
        const answer = await call(face.url, method, `/v2/${repository}/${path}`)
        expectRefusal(answer, 405, 'UNSUPPORTED')
        expect(answer.header('allow'), `${method} ${path}`).toMatch(/^[A-Z]+(?:, [A-Z]+)*$/)
        expect(answer.header('allow')!.split(', ')).not.toContain(method)
      }
    })

    it('a method that HTTP does not have is refused without harm', async () => {
      const socket = await rawConnection(face.url, 'FETCH /v2/ HTTP/1.1\r\nHost: x\r\n\r\n')
      expect(await readRaw(socket)).toMatch(/^HTTP\/1\.1 4\d\d /)
      expect((await call(face.url, 'GET', '/v2/')).status).toBe(200)
    })

    it('says nothing about the machine', async () => {
      for (const path of ['x/manifests/1', '_catalog', 'X/tags/list', `x/blobs/${nobody()}`]) {
        const said = (await call(face.url, 'GET', `/v2/${path}`)).bytes.toString()
        expect(said).not.toMatch(/node_modules|\.ts\b|\/tmp\/|ENOENT|at .*\(/)
      }
    })
  })

  if (face.canPush) errorsOfPushes(face)
}

function errorsOfPushes(face: Face): void {
  describe('error codes of pushes', () => {
    const bytes = Buffer.alloc(6)
    const upload = (name = freshRepository()) => beginUpload(face.url, name)

    it('BLOB_UPLOAD_UNKNOWN: an upload that nobody began', async () => {
      for (const id of ['nobody', '00000000-0000-4000-8000-000000000000', 'x'.repeat(300)]) {
        const path = `/v2/${freshRepository()}/blobs/uploads/${id}`
        for (const method of ['GET', 'DELETE'] as const)
          expectRefusal(await call(face.url, method, path), 404, 'BLOB_UPLOAD_UNKNOWN')
        expectRefusal(await call(face.url, 'PATCH', path, { body: bytes }), 404, 'BLOB_UPLOAD_UNKNOWN')
        const put = await call(face.url, 'PUT', withDigest(path, nobody()), { body: bytes })
        expectRefusal(put, 404, 'BLOB_UPLOAD_UNKNOWN')
      }
    })

    it('an upload id that leads elsewhere', async () => {
      for (const method of ['GET', 'DELETE', 'PATCH', 'PUT'] as const) {
        const answer = await call(face.url, method, `/v2/${freshRepository()}/blobs/uploads/..`)
        expect(answer.status).toBeGreaterThanOrEqual(400)
        expect(answer.status).toBeLessThan(500)
        expect(answer.json()).toMatchObject({ errors: [{ code: expect.any(String) }] })
      }
    })

    it('BLOB_UPLOAD_INVALID: two requests at once for one upload', async () => {
      const blob = freshContent(100_000)
      const name = freshRepository()
      const location = await upload(name)
      const first = await halfOfAPatch(face, location, blob.bytes)
      expectRefusal(await call(face.url, 'PATCH', location, { body: bytes }), 409, 'BLOB_UPLOAD_INVALID')
      // The first goes on as if nothing had been.
      const answered = readRaw(first, (text) => text.includes('\r\n\r\n'))
      first.write(blob.bytes.subarray(50_000))
      expect(await answered).toMatch(/^HTTP\/1\.1 202 /)
      first.destroy()
      locationOf(await call(face.url, 'PUT', withDigest(location, blob.digest)), 201)
    })

    it('DIGEST_INVALID: bytes of another digest', async () => {
      const put = await call(face.url, 'PUT', withDigest(await upload(), nobody()), { body: bytes })
      expectRefusal(put, 400, 'DIGEST_INVALID')
    })

    it('SIZE_INVALID: a chunk that is not as long as it says', async () => {
      const headers = { 'content-range': '0-9' }
      const patch = await call(face.url, 'PATCH', await upload(), { headers, body: bytes })
      expectRefusal(patch, 400, 'SIZE_INVALID')
    })

    it('MANIFEST_INVALID: no manifest', async () => {
      const put = await putManifest(face.url, freshRepository(), '1', { bytes, mediaType: OCI_MANIFEST })
      expectRefusal(put, 400, 'MANIFEST_INVALID')
    })

    it('MANIFEST_BLOB_UNKNOWN: blobs that are not there', async () => {
      const put = await putManifest(face.url, freshRepository(), '1', freshImage().manifest)
      expectRefusal(put, 400, 'MANIFEST_BLOB_UNKNOWN')
    })

    it.each(['Capital', 'a..b', 'a%2fb', '%2e%2e/a', 'a%zz', '_uploads', 'x'.repeat(256)])(
      'NAME_INVALID for the name %j',
      async (name) => {
        for (const [method, rest] of [
          ['POST', 'blobs/uploads/'],
          ['POST', `blobs/uploads/?digest=${nobody()}`],
          ['PATCH', 'blobs/uploads/x'],
          ['PUT', `blobs/uploads/x?digest=${nobody()}`],
          ['PUT', 'manifests/1'],
          ['DELETE', 'manifests/1'],
          ['DELETE', `blobs/${nobody()}`],
        ] as const) {
          const init = method === 'DELETE' ? {} : { body: bytes }
          expectRefusal(await call(face.url, method, `/v2/${name}/${rest}`, init), 400, 'NAME_INVALID')
        }
      },
    )

    it('TOOMANYREQUESTS: the upload that stood still longest, when more come than are taken', async () => {
      const sockets: Socket[] = []
      const blob = freshContent(100)
      try {
        const first = await upload()
        for (let each = 0; each < UPLOADS_PER_ADDRESS_MAX; each++)
          sockets.push(await halfOfAPatch(face, each === 0 ? first : await upload(), blob.bytes))
        const told = readRaw(sockets[0]!, (text) => text.includes('TOOMANYREQUESTS'))
        const next = await call(face.url, 'PATCH', await upload(), { body: blob.bytes })
        expect(next.status).toBe(202)
        expect(await told).toMatch(/^HTTP\/1\.1 429 /)
        // What it had sent is there, and it can go on.
        expect((await call(face.url, 'GET', first)).header('range')).toBe('0-49')
        expect((await call(face.url, 'PATCH', first, { body: blob.bytes.subarray(50) })).status).toBe(202)
      } finally {
        for (const socket of sockets) socket.destroy()
      }
    })
  })
}

/** A PATCH that the registry is in the middle of: half of its body has arrived, the rest has not been sent. */
async function halfOfAPatch(face: Face, location: string, bytes: Buffer): Promise<Socket> {
  const { pathname, search } = new URL(location, face.url)
  const head = `PATCH ${pathname}${search} HTTP/1.1\r\nHost: x\r\nContent-Length: ${bytes.length}\r\n\r\n`
  const socket = await rawConnection(face.url, head)
  const half = bytes.subarray(0, bytes.length / 2)
  if (!socket.write(half)) await once(socket, 'drain')
  await expect
    .poll(async () => (await call(face.url, 'GET', location)).header('range'), {
      timeout: 10_000,
      interval: 5,
    })
    .toBe(`0-${half.length - 1}`)
  return socket
}

/** Letters that no request line may have, as a client would write them; percent signs stay as they are. */
function encodeUnsafe(name: string): string {
  return name.replace(/[^\x21-\x7e]/gu, (letter) => encodeURIComponent(letter))
}
