/**
 * Goal: what is deleted is gone at once and nothing else is; where deletion is off, it is off for tags too. OCI distribution
 * specification, "Content Management" (end-9, end-10).
 * Method: pushed, looked at so that every cache knows it, deleted, looked at again from all sides.
 */
import { describe, expect, it } from 'vitest'
import { type Answer, call, expectRefusal } from '../client.ts'
import {
  ALGORITHMS,
  contentOf,
  descriptorOf,
  freshArtifact,
  freshContent,
  freshImage,
  freshRepository,
  indexOf,
  nobody,
  OCI_MANIFEST,
} from '../content.ts'
import type { Face } from '../faces.ts'
import { pushBlob, pushImage, pushManifest } from '../pushing.ts'

export function contentManagement(face: Face): void {
  if (face.canDelete) deleting(face)
  else refusingDeletions(face)
}

/** What a registry answers where nothing may be deleted, tags included: by 405, and everything stays. */
export function refusingDeletions(face: Pick<Face, 'url' | 'pushUrl'>): void {
  describe('a registry where nothing can be deleted', () => {
    it('refuses it for tags, manifests and blobs, known or not, with 405', async () => {
      const name = freshRepository()
      const image = freshImage()
      await pushImage(face.pushUrl, name, image, '1')
      const [blob] = image.blobs
      for (const path of [
        'manifests/1',
        'manifests/nowhere',
        `manifests/${image.manifest.digest}`,
        `manifests/${nobody()}`,
        `blobs/${blob!.digest}`,
        `blobs/${nobody()}`,
      ])
        expectRefusal(await call(face.url, 'DELETE', `/v2/${name}/${path}`), 405, 'UNSUPPORTED')
      for (const path of ['manifests/1', `manifests/${image.manifest.digest}`, `blobs/${blob!.digest}`])
        expect((await call(face.url, 'GET', `/v2/${name}/${path}`)).status).toBe(200)
    })
  })
}

function deleting(face: Face): void {
  const at = (method: 'GET' | 'HEAD' | 'DELETE', name: string, path: string): Promise<Answer> =>
    call(face.url, method, `/v2/${name}/${path}`)
  const expectDeleted = async (name: string, path: string, code: string) => {
    const answer = await at('DELETE', name, path)
    expect([answer.status, answer.bytes.length]).toEqual([202, 0])
    for (const method of ['GET', 'DELETE'] as const) expectRefusal(await at(method, name, path), 404, code)
    expect((await at('HEAD', name, path)).status).toBe(404)
  }
  const expectThere = async (name: string, ...paths: string[]) => {
    for (const path of paths)
      for (const method of ['GET', 'HEAD'] as const)
        expect([path, (await at(method, name, path)).status]).toEqual([path, 200])
  }
  const tagsOf = async (name: string) => (await at('GET', name, 'tags/list')).json().tags

  describe('deleting a tag', () => {
    it('takes it away at once, and nothing else', async () => {
      const name = freshRepository()
      const image = freshImage()
      await pushImage(face.url, name, image, 'gone')
      await pushManifest(face.url, name, image.manifest, 'stays')
      // What was asked for before is remembered somewhere; it must be forgotten.
      await expectThere(name, 'manifests/gone')
      await expectDeleted(name, 'manifests/gone', 'MANIFEST_UNKNOWN')
      await expectThere(name, 'manifests/stays', `manifests/${image.manifest.digest}`)
      await expectThere(name, ...image.blobs.map(({ digest }) => `blobs/${digest}`))
      expect(await tagsOf(name)).toEqual(['stays'])
    })

    it('of the last leaves an empty list, and the tag can come back', async () => {
      const name = freshRepository()
      const image = freshImage()
      await pushImage(face.url, name, image, 'only')
      await expectDeleted(name, 'manifests/only', 'MANIFEST_UNKNOWN')
      expect(await tagsOf(name)).toEqual([])
      await pushManifest(face.url, name, image.manifest, 'only')
      await expectThere(name, 'manifests/only')
    })

    it('leaves the same tag of another repository', async () => {
      const [a, b, image] = [freshRepository(), freshRepository(), freshImage()]
      for (const name of [a, b]) await pushImage(face.url, name, image, 'same')
      await expectDeleted(a, 'manifests/same', 'MANIFEST_UNKNOWN')
      await expectThere(b, 'manifests/same')
    })
  })

  describe.each(ALGORITHMS)('deleting a manifest by %s', (algorithm) => {
    it('takes it and all its tags away at once', async () => {
      const name = freshRepository()
      const [gone, stays] = [freshImage({}, { algorithm }), freshImage({}, { algorithm })]
      await pushImage(face.url, name, stays)
      await call(face.url, 'PUT', `/v2/${name}/manifests/${stays.manifest.digest}?tag=other`, {
        headers: { 'content-type': OCI_MANIFEST },
        body: stays.manifest.bytes,
      })
      await pushImage(face.url, name, gone)
      const tagging = await call(
        face.url,
        'PUT',
        `/v2/${name}/manifests/${gone.manifest.digest}?tag=one&tag=two`,
        { headers: { 'content-type': OCI_MANIFEST }, body: gone.manifest.bytes },
      )
      expect(tagging.status).toBe(201)
      const path = `manifests/${gone.manifest.digest}`
      await expectThere(name, path, 'manifests/one', 'manifests/two')
      await expectDeleted(name, path, 'MANIFEST_UNKNOWN')
      for (const tag of ['one', 'two'])
        expectRefusal(await at('GET', name, `manifests/${tag}`), 404, 'MANIFEST_UNKNOWN')
      expect(await tagsOf(name)).toEqual(['other'])
      await expectThere(name, 'manifests/other', ...gone.blobs.map(({ digest }) => `blobs/${digest}`))
    })

    it('leaves it in other repositories, and it can come back', async () => {
      const [a, b, image] = [freshRepository(), freshRepository(), freshImage({}, { algorithm })]
      for (const name of [a, b]) await pushImage(face.url, name, image)
      const path = `manifests/${image.manifest.digest}`
      await expectDeleted(a, path, 'MANIFEST_UNKNOWN')
      await expectThere(b, path)
      expect((await at('GET', a, path)).status).toBe(404)
      await pushManifest(face.url, a, image.manifest)
      await expectThere(a, path)
    })
  })

  describe('deleting what hangs together', () => {
    it('an index leaves its images, an image leaves its index', async () => {
      const name = freshRepository()
      const images = [freshImage(), freshImage()]
      for (const image of images) await pushImage(face.url, name, image)
      const index = indexOf(images.map(({ manifest }) => manifest))
      const another = indexOf(
        images.map(({ manifest }) => manifest),
        { annotations: { a: 'b' } },
      )
      for (const each of [index, another]) await pushManifest(face.url, name, each)
      await expectDeleted(name, `manifests/${index.digest}`, 'MANIFEST_UNKNOWN')
      await expectThere(name, ...images.map(({ manifest }) => `manifests/${manifest.digest}`))
      await expectDeleted(name, `manifests/${images[0]!.manifest.digest}`, 'MANIFEST_UNKNOWN')
      await expectThere(name, `manifests/${another.digest}`, `manifests/${images[1]!.manifest.digest}`)
    })

    it('a referrer is listed no longer; a subject leaves its referrers', async () => {
      const name = freshRepository()
      const image = freshImage()
      await pushImage(face.url, name, image)
      const subject = descriptorOf(OCI_MANIFEST, image.manifest)
      const artifacts = [
        freshArtifact({ subject }, 'application/a'),
        freshArtifact({ subject }, 'application/b'),
      ]
      for (const artifact of artifacts) await pushImage(face.url, name, artifact)
      const listed = async () =>
        (await at('GET', name, `referrers/${subject.digest}`))
          .json()
          .manifests.map((each: { digest: string }) => each.digest)
      expect(await listed()).toHaveLength(2)
      await expectDeleted(name, `manifests/${artifacts[0]!.manifest.digest}`, 'MANIFEST_UNKNOWN')
      expect(await listed()).toEqual([artifacts[1]!.manifest.digest])
      await expectDeleted(name, `manifests/${subject.digest}`, 'MANIFEST_UNKNOWN')
      expect(await listed()).toEqual([artifacts[1]!.manifest.digest])
      await pushManifest(face.url, name, artifacts[0]!.manifest)
      expect(await listed()).toHaveLength(2)
    })
  })

  describe.each(ALGORITHMS)('deleting a blob by %s', (algorithm) => {
    it('takes it away at once, and it can be pushed again', async () => {
      const [name, blob] = [freshRepository(), freshContent(100_000, algorithm)]
      await pushBlob(face.url, name, blob)
      await expectThere(name, `blobs/${blob.digest}`)
      await expectDeleted(name, `blobs/${blob.digest}`, 'BLOB_UNKNOWN')
      await pushBlob(face.url, name, blob)
      await expectThere(name, `blobs/${blob.digest}`)
    })

    it.each(['', '{}'])('works for the well-known content %j too', async (text) => {
      const [name, blob] = [freshRepository(), contentOf(text, algorithm)]
      await pushBlob(face.url, name, blob)
      await expectDeleted(name, `blobs/${blob.digest}`, 'BLOB_UNKNOWN')
    })

    it('leaves it in other repositories, and reading it there does not bring it back', async () => {
      const [a, b, c] = [freshRepository(), freshRepository(), freshRepository()]
      const blob = freshContent(100_000, algorithm)
      for (const name of [a, b]) await pushBlob(face.url, name, blob)
      const mounted = await call(face.url, 'POST', `/v2/${c}/blobs/uploads/?mount=${blob.digest}&from=${a}`)
      expect(mounted.status).toBe(201)
      await expectDeleted(a, `blobs/${blob.digest}`, 'BLOB_UNKNOWN')
      for (const name of [b, c]) {
        const answer = await at('GET', name, `blobs/${blob.digest}`)
        expect(answer.bytes.equals(blob.bytes)).toBe(true)
      }
      expectRefusal(await at('GET', a, `blobs/${blob.digest}`), 404, 'BLOB_UNKNOWN')
      const refused = await call(
        face.url,
        'POST',
        `/v2/${freshRepository()}/blobs/uploads/?mount=${blob.digest}&from=${a}`,
      )
      expect(refused.status).toBe(202)
    })

    it('that a manifest still names is possible, and the manifest says what is missing when it is pushed again', async () => {
      const [name, image] = [freshRepository(), freshImage({}, { algorithm })]
      await pushImage(face.url, name, image)
      const { digest } = image.blobs[1]!
      await expectDeleted(name, `blobs/${digest}`, 'BLOB_UNKNOWN')
      await expectThere(name, `manifests/${image.manifest.digest}`)
      const again = await call(face.url, 'PUT', `/v2/${name}/manifests/again`, {
        headers: { 'content-type': image.manifest.mediaType },
        body: image.manifest.bytes,
      })
      expectRefusal(again, 400, 'MANIFEST_BLOB_UNKNOWN')
    })
  })

  describe('deleting what is not there', () => {
    it('is a 404', async () => {
      const name = freshRepository()
      await pushImage(face.url, name, freshImage(), '1')
      expectRefusal(await at('DELETE', name, 'manifests/nowhere'), 404, 'MANIFEST_UNKNOWN')
      expectRefusal(await at('DELETE', name, `manifests/${nobody()}`), 404, 'MANIFEST_UNKNOWN')
      expectRefusal(await at('DELETE', name, `blobs/${nobody()}`), 404, 'BLOB_UNKNOWN')
    })

    it('is a 404 in a repository that does not exist', async () => {
      expectRefusal(await at('DELETE', freshRepository(), 'manifests/1'), 404, 'NAME_UNKNOWN')
      expectRefusal(await at('DELETE', freshRepository(), `manifests/${nobody()}`), 404, 'NAME_UNKNOWN')
      expectRefusal(await at('DELETE', freshRepository(), `blobs/${nobody()}`), 404, 'BLOB_UNKNOWN')
    })

    it('is a 400 for a digest that is none', async () => {
      for (const path of ['manifests/sha256:abc', 'blobs/sha256:abc', 'blobs/latest'])
        expectRefusal(await at('DELETE', freshRepository(), path), 400, 'DIGEST_INVALID')
    })
  })
}
