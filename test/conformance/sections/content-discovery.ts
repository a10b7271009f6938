/**
 * Goal: lists of tags and of referrers are complete, in order and in pages, and asking for what is not there is safe. OCI
 * distribution specification, "Listing Tags" and "Listing Referrers" (end-8a, end-8b, end-12a, end-12b).
 * Method: pushed in no order, read with every combination of parameters, links followed to the end.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { type Answer, call, expectRefusal } from '../client.ts'
import {
  ALGORITHMS,
  type Descriptor,
  descriptorOf,
  EMPTY_JSON,
  freshArtifact,
  freshContent,
  freshImage,
  freshRepository,
  indexOf,
  type ManifestContent,
  manifestOf,
  nobody,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../content.ts'
import type { Face } from '../faces.ts'
import { pushBlob, pushImage, pushManifest } from '../pushing.ts'

/** In byte order: signs, digits, capitals, the underscore, small letters. */
const TAGS = ['0', '1', '10', '2', 'B', 'Z', '_', 'a', 'a-1', 'a.1', 'a1', 'aB', 'a_', 'b', 'latest', 'z']

export function contentDiscovery(face: Face): void {
  describe('listing tags', () => {
    const repository = freshRepository()
    const list = (query = '', name = repository) => call(face.url, 'GET', `/v2/${name}/tags/list${query}`)
    const expectTags = (answer: Answer, tags: readonly string[], hasMore: boolean, name = repository) => {
      expect(answer.status).toBe(200)
      expect(answer.header('content-type')).toMatch(/^application\/json\b/)
      expect(answer.json()).toEqual({ name, tags })
      expect(answer.header('link') !== undefined, 'whether there is a next page').toBe(hasMore)
    }

    beforeAll(async () => {
      const image = freshImage()
      await pushImage(face.pushUrl, repository, image)
      // In an order that is none.
      for (const tag of TAGS.toReversed()) await pushManifest(face.pushUrl, repository, image.manifest, tag)
    })

    it('gives all, in byte order', async () => {
      expectTags(await list(), TAGS, false)
    })

    it.each([1, 5, 15])('gives the first %i of more, and says that there are more', async (n) => {
      expectTags(await list(`?n=${n}`), TAGS.slice(0, n), true)
    })

    it.each([16, 17, 1_000, 999_999_999])('gives all when %i are asked for', async (n) => {
      expectTags(await list(`?n=${n}`), TAGS, false)
    })

    it('gives an empty list and no link for n=0', async () => {
      expectTags(await list('?n=0'), [], false)
      expectTags(await list('?n=0&last=a'), [], false)
    })

    it('begins behind `last`, which is not given again', async () => {
      for (const [position, tag] of TAGS.entries()) {
        expectTags(await list(`?last=${tag}`), TAGS.slice(position + 1), false)
        const rest = TAGS.slice(position + 1)
        expectTags(await list(`?n=3&last=${tag}`), rest.slice(0, 3), rest.length > 3)
      }
    })

    it('begins where `last` would stand when there is no such tag', async () => {
      for (const last of ['00', 'a-', 'b0', 'nowhere', 'zz'])
        expectTags(
          await list(`?last=${last}`),
          TAGS.filter((tag) => tag > last),
          false,
        )
    })

    it.each([1, 4, 7])('gives every tag once when the links are followed, %i at a time', async (n) => {
      const tags: string[] = []
      let path: string | undefined = `/v2/${repository}/tags/list?n=${n}`
      while (path !== undefined) {
        const answer: Answer = await call(face.url, 'GET', path)
        expect(answer.status).toBe(200)
        expect(answer.json().tags.length).toBeLessThanOrEqual(n)
        tags.push(...answer.json().tags)
        path = nextOf(answer, face)
      }
      expect(tags).toEqual(TAGS)
    })

    it.each(['-1', 'x', '1.5', '1e3', ''])('refuses n=%j', async (n) => {
      const answer = await list(`?n=${n}`)
      if (n !== '' || answer.status !== 200) expectRefusal(answer, 400, 'PAGINATION_NUMBER_INVALID')
    })

    it('refuses a `last` that cannot be a tag', async () => {
      expectRefusal(await list('?last=..%2Fother'), 400, 'TAG_INVALID')
    })

    it('keeps the tags of a repository inside another apart', async () => {
      const inner = `${repository}/inner`
      await pushImage(face.pushUrl, inner, freshImage(), 'only')
      expectTags(await list('', inner), ['only'], false, inner)
      expectTags(await list(), TAGS, false)
    })

    it('gives an empty list for a repository without tags', async () => {
      const name = freshRepository()
      await pushImage(face.pushUrl, name, freshImage())
      expectTags(await list('', name), [], false, name)
    })

    it('is a 404 for a repository that does not exist', async () => {
      for (const query of ['', '?n=5', '?n=0', '?last=a'])
        expectRefusal(await list(query, freshRepository()), 404, 'NAME_UNKNOWN')
    })

    it('is not made by asking', async () => {
      const name = freshRepository()
      for (const path of ['manifests/1', 'tags/list', `blobs/${nobody()}`, `referrers/${nobody()}`])
        await call(face.url, 'GET', `/v2/${name}/${path}`)
      expect((await list('', name)).status).toBe(404)
    })
  })

  describe('listing referrers', () => {
    const SBOM = 'application/vnd.example.sbom.v1'
    const SIGNATURE = 'application/vnd.example.signature.v1'
    const list = (name: string, digest: string, query = '') =>
      call(face.url, 'GET', `/v2/${name}/referrers/${digest}${query}`)
    const referrersOf = (answer: Answer): Record<string, unknown>[] => {
      expect({ status: answer.status, said: answer.bytes.toString() }).toMatchObject({ status: 200 })
      expect(answer.header('content-type')).toBe(OCI_INDEX)
      expect(answer.json()).toMatchObject({ schemaVersion: 2, mediaType: OCI_INDEX })
      return answer.json().manifests
    }
    const byDigest = <T extends { readonly digest?: unknown }>(list: readonly T[]): T[] =>
      list.toSorted((a, b) => (String(a.digest) < String(b.digest) ? -1 : 1))
    const pushArtifact = async (name: string, subject: Descriptor, type?: string, fields: object = {}) => {
      const artifact = freshArtifact({ subject, ...fields }, type)
      const answer = await pushImage(face.pushUrl, name, artifact)
      expect(answer.header('oci-subject')).toBe(subject.digest)
      return artifact.manifest
    }
    const filterOf = (type: string) => `?artifactType=${encodeURIComponent(type)}`

    it.each(ALGORITHMS)('is an empty index where nothing is known, by %s', async (algorithm) => {
      const name = freshRepository()
      expect(referrersOf(await list(name, nobody(algorithm)))).toEqual([])
      await pushImage(face.pushUrl, name, freshImage(), '1')
      expect(referrersOf(await list(name, nobody(algorithm)))).toEqual([])
      expect(referrersOf(await list(name, nobody(algorithm), filterOf(SBOM)))).toEqual([])
    })

    it.each(['sha256:abc', 'latest', 'md5:d41d8cd98f00b204e9800998ecf8427e', 'sha256:'])(
      'is a 400 for what is no digest: %s',
      async (digest) => {
        expectRefusal(await list(freshRepository(), digest), 400, 'DIGEST_INVALID')
      },
    )

    it('gives each referrer with its type, length, artifact type and annotations', async () => {
      const name = freshRepository()
      const image = freshImage()
      await pushImage(face.pushUrl, name, image, '1')
      const subject = descriptorOf(OCI_MANIFEST, image.manifest)
      const annotations = { 'org.example.format': 'json', 'org.example.text': 'Zoë \u{1f433}' }
      const typed = await pushArtifact(name, subject, SBOM, { annotations })
      const config = descriptorOf(SIGNATURE, EMPTY_JSON)
      const byConfig = await pushArtifact(name, subject, undefined, { config })
      const emptyType = await pushArtifact(name, subject, '', { config })
      const another = freshImage({ subject })
      await pushImage(face.pushUrl, name, another)
      const index = indexOf([image.manifest], { subject, annotations: { of: 'index' } })
      await pushManifest(face.pushUrl, name, index)
      const typedIndex = indexOf([], { subject, artifactType: SBOM })
      await pushManifest(face.pushUrl, name, typedIndex, 'tagged')

      const expected = byDigest([
        { ...descriptorOf(OCI_MANIFEST, typed), artifactType: SBOM, annotations },
        { ...descriptorOf(OCI_MANIFEST, byConfig), artifactType: SIGNATURE },
        { ...descriptorOf(OCI_MANIFEST, emptyType), artifactType: SIGNATURE },
        { ...descriptorOf(OCI_MANIFEST, another.manifest), artifactType: OCI_CONFIG },
        { ...descriptorOf(OCI_INDEX, index), annotations: { of: 'index' } },
        { ...descriptorOf(OCI_INDEX, typedIndex), artifactType: SBOM },
      ])
      const answer = await list(name, subject.digest)
      expect(byDigest(referrersOf(answer))).toEqual(expected)
      expect(answer.header('oci-filters-applied')).toBeUndefined()

      for (const type of [SBOM, SIGNATURE, OCI_CONFIG, 'application/vnd.example.none']) {
        const filtered = await list(name, subject.digest, filterOf(type))
        expect(filtered.header('oci-filters-applied')).toBe('artifactType')
        expect(byDigest(referrersOf(filtered))).toEqual(
          expected.filter((each) => 'artifactType' in each && each.artifactType === type),
        )
      }
    })

    it.each(ALGORITHMS)('knows them before their subject is there, and after, by %s', async (algorithm) => {
      const name = freshRepository()
      const image = freshImage({}, { algorithm })
      const subject = descriptorOf(OCI_MANIFEST, image.manifest)
      const artifact = await pushArtifact(name, subject, SBOM)
      const expected = [{ ...descriptorOf(OCI_MANIFEST, artifact), artifactType: SBOM }]
      expect(referrersOf(await list(name, subject.digest))).toEqual(expected)
      await pushImage(face.pushUrl, name, image)
      expect(referrersOf(await list(name, subject.digest))).toEqual(expected)
    })

    it('gives one that was pushed often once', async () => {
      const name = freshRepository()
      const subject = { mediaType: OCI_MANIFEST, digest: nobody(), size: 5 }
      const artifact = await pushArtifact(name, subject, SBOM)
      await pushManifest(face.pushUrl, name, artifact)
      for (const tag of ['a', 'b']) await pushManifest(face.pushUrl, name, artifact, tag)
      expect(referrersOf(await list(name, subject.digest))).toHaveLength(1)
    })

    it('loses none that are pushed at once', async () => {
      const name = freshRepository()
      const subject = { mediaType: OCI_MANIFEST, digest: nobody(), size: 5 }
      await pushBlob(face.pushUrl, name, EMPTY_JSON)
      const signatures = Array.from({ length: 10 }, (_, each) => signatureOf(subject, each))
      await Promise.all(signatures.map((each) => pushManifest(face.pushUrl, name, each)))
      const digests = referrersOf(await list(name, subject.digest)).map((each) => each.digest)
      expect(digests.toSorted()).toEqual(signatures.map((each) => each.digest).toSorted())
    })

    it('keeps subjects and repositories apart', async () => {
      const [name, other] = [freshRepository(), freshRepository()]
      const [one, two] = [nobody(), nobody()].map((digest) => ({ mediaType: OCI_MANIFEST, digest, size: 5 }))
      const [ofOne, ofTwo] = [await pushArtifact(name, one!, SBOM), await pushArtifact(name, two!, SBOM)]
      expect(referrersOf(await list(name, one!.digest))).toMatchObject([{ digest: ofOne.digest }])
      expect(referrersOf(await list(name, two!.digest))).toMatchObject([{ digest: ofTwo.digest }])
      expect(referrersOf(await list(other, one!.digest))).toEqual([])
    })

    it('gives a chain link by link: the signature of an SBOM of an image', async () => {
      const name = freshRepository()
      const image = freshImage()
      await pushImage(face.pushUrl, name, image)
      const sbom = await pushArtifact(name, descriptorOf(OCI_MANIFEST, image.manifest), SBOM)
      const signature = await pushArtifact(name, descriptorOf(OCI_MANIFEST, sbom), SIGNATURE)
      expect(referrersOf(await list(name, image.manifest.digest))).toMatchObject([{ digest: sbom.digest }])
      expect(referrersOf(await list(name, sbom.digest))).toMatchObject([{ digest: signature.digest }])
    })

    it('needs no tags: none is made, and a client may still push its own', async () => {
      const name = freshRepository()
      const subject = { mediaType: OCI_MANIFEST, digest: nobody(), size: 5 }
      const artifact = await pushArtifact(name, subject, SBOM)
      const tag = subject.digest.replace(':', '-')
      const get = () => call(face.url, 'GET', `/v2/${name}/manifests/${tag}`)
      expect((await get()).status).toBe(404)
      expect((await call(face.url, 'GET', `/v2/${name}/tags/list`)).json().tags).toEqual([])
      await pushManifest(face.pushUrl, name, indexOf([artifact]), tag)
      expect((await get()).json().manifests).toMatchObject([{ digest: artifact.digest }])
      expect(referrersOf(await list(name, subject.digest))).toHaveLength(1)
    })

    describe('in pages', () => {
      const name = freshRepository()
      const subject = { mediaType: OCI_MANIFEST, digest: nobody(), size: 5 }
      const signatures: ManifestContent[] = []

      beforeAll(async () => {
        await pushBlob(face.pushUrl, name, EMPTY_JSON)
        // More than fit into any answer: with annotations of 80 kB, a few dozen are megabytes.
        for (let each = 0; each < 64; each++)
          signatures.push(signatureOf(subject, each, { padding: 'A'.repeat(80_000) }))
        for (let first = 0; first < signatures.length; first += 8) {
          const some = signatures.slice(first, first + 8)
          await Promise.all(some.map((each) => pushManifest(face.pushUrl, name, each)))
        }
      })

      it.each(['', 'filtered'])('gives every one once when the links are followed %s', async (how) => {
        const digests: unknown[] = []
        let pages = 0
        const query = how === '' ? '' : filterOf('application/vnd.example.even')
        let path: string | undefined = `/v2/${name}/referrers/${subject.digest}${query}`
        while (path !== undefined) {
          const answer: Answer = await call(face.url, 'GET', path)
          digests.push(...referrersOf(answer).map((each) => each.digest))
          expect(answer.bytes.length).toBeLessThanOrEqual(4 * 1024 * 1024)
          expect(answer.header('oci-filters-applied')).toBe(how === '' ? undefined : 'artifactType')
          path = nextOf(answer, face)
          pages++
        }
        const expected = signatures.filter((_, each) => how === '' || each % 2 === 0)
        expect(digests.toSorted()).toEqual(expected.map((each) => each.digest).toSorted())
        if (how === '') expect(pages).toBeGreaterThan(1)
      })
    })
  })

  describe('what exists', () => {
    it('is told by the catalogue of a seeder, page by page, and not by that of an agent', async () => {
      const answer = await call(face.url, 'GET', '/v2/_catalog?n=1')
      if (face.url !== face.pushUrl || !face.canDelete) {
        expect(answer.status).toBe(404)
        expect(answer.json().errors).toHaveLength(1)
        return
      }
      const names = [freshRepository(), `${freshRepository()}/below/it`]
      for (const name of names) await pushBlob(face.pushUrl, name, freshContent(10))
      const found: string[] = []
      for (let path: string | undefined = '/v2/_catalog?n=2'; path !== undefined; ) {
        const page = await call(face.url, 'GET', path)
        expect(page.status).toBe(200)
        expect(page.json().repositories.length).toBeLessThanOrEqual(2)
        found.push(...page.json().repositories)
        path = nextOf(page, face)
      }
      expect(new Set(found).size).toBe(found.length)
      expect(found).toEqual(expect.arrayContaining(names))
    })

    it('is told of content by HEAD alone', async () => {
      const name = freshRepository()
      const blob = freshContent(10)
      await pushBlob(face.pushUrl, name, blob)
      expect((await call(face.url, 'HEAD', `/v2/${name}/blobs/${blob.digest}`)).status).toBe(200)
    })
  })
}

function signatureOf(subject: Descriptor, each: number, annotations: object = {}): ManifestContent {
  return manifestOf({
    artifactType: `application/vnd.example.${each % 2 === 0 ? 'even' : 'odd'}`,
    config: descriptorOf('application/vnd.oci.empty.v1+json', EMPTY_JSON),
    layers: [],
    subject,
    annotations: { number: String(each), ...annotations },
  })
}

/** RFC 8288: the target may be relative. */
function nextOf(answer: Answer, face: Face): string | undefined {
  const link = answer.header('link')
  if (link === undefined) return undefined
  const target = /^<([^>]+)>;\s*rel="?next"?$/.exec(link)?.[1]
  expect(target, link).toBeDefined()
  const { pathname, search, origin } = new URL(target!, face.url)
  expect(origin).toBe(face.url)
  return pathname + search
}
