/**
 * Goal: manifests come as they were pushed, by tag and by digest, and what is not there is a 404. OCI distribution
 * specification, "Pulling manifests" and "Checking if content exists in the registry" (end-3).
 * Method: pushed and pulled by plain HTTP against every face; bytes and digests compared with the test's own.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { type Answer, call, expectRefusal } from '../client.ts'
import {
  ALGORITHMS,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  freshImage,
  freshRepository,
  type ImageContent,
  indexOf,
  MANIFEST_BYTES_MAX,
  type ManifestContent,
  nobody,
  OCI_INDEX,
  OCI_MANIFEST,
  padded,
} from '../content.ts'
import type { Face } from '../faces.ts'
import { pushBlob, pushImage, pushManifest } from '../pushing.ts'

/** What containerd, Docker and the specification's own test program ask for. */
const ACCEPTS = [
  undefined,
  '*/*',
  OCI_MANIFEST,
  `${DOCKER_MANIFEST}, ${DOCKER_LIST}, ${OCI_MANIFEST}, ${OCI_INDEX}, */*`,
  'application/json;q=0.5, text/html',
]

export function pullManifests(face: Face): void {
  describe('pulling manifests', () => {
    const repository = freshRepository()
    const image = freshImage()
    const manifest = image.manifest
    const get = (name: string, reference: string, headers: Record<string, string> = {}) =>
      call(face.url, 'GET', `/v2/${name}/manifests/${reference}`, { headers })
    const head = (name: string, reference: string, headers: Record<string, string> = {}) =>
      call(face.url, 'HEAD', `/v2/${name}/manifests/${reference}`, { headers })

    beforeAll(() => pushImage(face.pushUrl, repository, image, 'v1'))

    it.each(['tag', 'digest'])('gives the pushed bytes by %s, with type, length and digest', async (by) => {
      expectManifest(await get(repository, by === 'tag' ? 'v1' : manifest.digest), manifest)
    })

    it.each(['tag', 'digest'])('answers HEAD by %s with the same headers and no body', async (by) => {
      const reference = by === 'tag' ? 'v1' : manifest.digest
      const answer = await head(repository, reference)
      expect(answer.bytes).toHaveLength(0)
      expectManifest({ ...answer, bytes: manifest.bytes }, manifest)
    })

    it.each(ACCEPTS)('gives what there is to a client that accepts %s', async (accept) => {
      const headers: Record<string, string> = accept === undefined ? {} : { accept }
      expectManifest(await get(repository, 'v1', headers), manifest)
      expectManifest({ ...(await head(repository, 'v1', headers)), bytes: manifest.bytes }, manifest)
    })

    it('takes no notice of a range: containerd 2.1 asks for `bytes=0-` and wants a 200', async () => {
      expectManifest(await get(repository, 'v1', { range: 'bytes=0-' }), manifest)
      expectManifest(await get(repository, manifest.digest, { range: 'bytes=5-10' }), manifest)
    })

    it('never compresses a body', async () => {
      const answer = await get(repository, 'v1', { 'accept-encoding': 'zstd,gzip,deflate' })
      expect(answer.header('content-encoding')).toBeUndefined()
      expectManifest(answer, manifest)
    })

    it('answers 304 to a client that has it', async () => {
      const etag = (await get(repository, 'v1')).header('etag')!
      expect(etag).toMatch(/^"[^"]+"$/)
      for (const header of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
        const answer = await get(repository, 'v1', { 'if-none-match': header })
        expect([answer.status, answer.bytes.length, answer.header('etag')]).toEqual([304, 0, etag])
      }
      expect((await head(repository, 'v1', { 'if-none-match': etag })).status).toBe(304)
      expectManifest(await get(repository, 'v1', { 'if-none-match': '"other"' }), manifest)
    })

    it.each(['mediaType', 'Content-Type'])(
      'gives the type that it was pushed with in %s, without parameters',
      async (where) => {
        const name = freshRepository()
        const { blobs, manifest: typed } = freshImage()
        for (const blob of blobs) await pushBlob(face.pushUrl, name, blob)
        const document = JSON.parse(typed.bytes.toString())
        if (where === 'Content-Type') delete document.mediaType
        const headers = { 'content-type': `${OCI_MANIFEST}; charset=utf-8` }
        const body = JSON.stringify(document)
        expect((await call(face.pushUrl, 'PUT', `/v2/${name}/manifests/1`, { headers, body })).status).toBe(
          201,
        )
        expect((await get(name, '1')).header('content-type')).toBe(OCI_MANIFEST)
      },
    )

    it('gives Docker’s manifests and lists under their own types', async () => {
      const name = freshRepository()
      const docker = freshImage({}, { mediaType: DOCKER_MANIFEST })
      const list = indexOf([docker.manifest], {}, { mediaType: DOCKER_LIST })
      await pushImage(face.pushUrl, name, docker)
      await pushManifest(face.pushUrl, name, list, 'list')
      expectManifest(await get(name, 'list'), list)
      expectManifest(await get(name, docker.manifest.digest), docker.manifest)
    })

    it('gives an index, and every image of it', async () => {
      const name = freshRepository()
      const images = [freshImage(), freshImage()]
      for (const each of images) await pushImage(face.pushUrl, name, each)
      const index = indexOf(images.map((each) => each.manifest))
      await pushManifest(face.pushUrl, name, index, 'multi')
      for (const reference of ['multi', index.digest]) expectManifest(await get(name, reference), index)
      for (const each of images) expectManifest(await get(name, each.manifest.digest), each.manifest)
    })

    it('gives an index of 4 MiB, and its image of 4 MiB', async () => {
      const name = freshRepository()
      const large = freshImage()
      const child = padded(large.manifest, MANIFEST_BYTES_MAX)
      await pushImage(face.pushUrl, name, { ...large, manifest: child })
      const index = padded(indexOf([child]), MANIFEST_BYTES_MAX)
      await pushManifest(face.pushUrl, name, index, 'large')
      expectManifest(await get(name, 'large'), index)
      expectManifest({ ...(await head(name, 'large')), bytes: index.bytes }, index)
      expectManifest(await get(name, child.digest), child)
    })

    it.each(ALGORITHMS)('gives manifests by their %s digest', async (algorithm) => {
      const name = freshRepository()
      const { manifest: hashed, ...rest } = freshImage({}, { algorithm })
      await pushImage(face.pushUrl, name, { manifest: hashed, ...rest })
      expectManifest(await get(name, hashed.digest), hashed)
      expectManifest({ ...(await head(name, hashed.digest)), bytes: hashed.bytes }, hashed)
    })

    it('gives what a tag means now, and what it meant before by digest', async () => {
      const name = freshRepository()
      const [before, after] = [freshImage(), freshImage()]
      await pushImage(face.pushUrl, name, before, 'moving')
      expectManifest(await get(name, 'moving'), before.manifest)
      await pushImage(face.pushUrl, name, after, 'moving')
      expectManifest(await get(name, 'moving'), after.manifest)
      expectManifest(await get(name, before.manifest.digest), before.manifest)
    })

    it.each(['v', '_', 'V1.0-rc_2', `t${'.-_x'.repeat(31)}xyz`])('knows the tag %s', async (tag) => {
      expect(tag.length).toBeLessThanOrEqual(128)
      await pushManifest(face.pushUrl, repository, manifest, tag)
      expectManifest(await get(repository, tag), manifest)
    })

    it.each([
      'one',
      'a/b/c/d/e/f',
      'with.dots/with_one/with__two/with---dashes',
      'a/manifests/blobs',
      'tags/list/referrers',
      `long/${'x'.repeat(250)}`,
    ])('knows the repository %s', async (name) => {
      expect(name.length).toBeLessThanOrEqual(255)
      const each: ImageContent = freshImage()
      await pushImage(face.pushUrl, name, each, '1')
      expectManifest(await get(name, '1'), each.manifest)
    })

    it('ignores parameters that mirrors are sent', async () => {
      expectManifest(await get(repository, 'v1?ns='), manifest)
    })

    it.each([
      ['an unknown tag', () => 'nowhere', 'MANIFEST_UNKNOWN'],
      ['an unknown digest', () => nobody(), 'MANIFEST_UNKNOWN'],
      ['an unknown sha512 digest', () => nobody('sha512'), 'MANIFEST_UNKNOWN'],
      ['a tag longer than any can be', () => 'x'.repeat(129), 'MANIFEST_UNKNOWN'],
      ['the digest of a blob', () => image.blobs[0]!.digest, 'MANIFEST_UNKNOWN'],
    ])('answers 404 for %s', async (_what, reference, code) => {
      await get(repository, 'v1')
      expectRefusal(await get(repository, reference()), 404, code)
      const looked = await head(repository, reference())
      expect([looked.status, looked.bytes.length]).toEqual([404, 0])
    })

    it('answers 404 for a repository that does not exist', async () => {
      const name = freshRepository()
      for (const reference of ['v1', manifest.digest]) {
        expectRefusal(await get(name, reference), 404, 'NAME_UNKNOWN')
        expect((await head(name, reference)).status).toBe(404)
      }
    })

    it('knows a manifest only in the repository that it was pushed to', async () => {
      const name = freshRepository()
      await pushImage(face.pushUrl, name, freshImage(), '1')
      expectManifest(await get(repository, manifest.digest), manifest)
      expect((await get(name, manifest.digest)).status).toBe(404)
    })

    it('answers 400 for a digest that is none', async () => {
      for (const reference of ['sha256:baddigeststring', 'sha256:', 'md5:d41d8cd98f00b204e9800998ecf8427e'])
        expectRefusal(await get(repository, reference), 400, 'DIGEST_INVALID')
    })
  })
}

function expectManifest(answer: Answer, { bytes, digest, mediaType }: ManifestContent): void {
  expect(answer.status).toBe(200)
  expect(answer.bytes.equals(bytes), 'the bytes that were pushed').toBe(true)
  expect(answer.header('content-type')).toBe(mediaType)
  expect(answer.header('content-length')).toBe(String(bytes.length))
  const said = answer.header('docker-content-digest')

  expect(said).toBe(digest)
}
