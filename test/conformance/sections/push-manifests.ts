/**
 * Goal: every manifest that the specification allows is kept byte for byte under all its names, and every other is refused
 * with a reason and leaves nothing. OCI distribution specification, "Pushing Manifests" and "Pushing Manifests with Subject"
 * (end-7a, end-7b); image specification, "Image Manifest" and "Image Index".
 * Method: each kind of document pushed by tag, by digest and by digest with tags; the answer's headers checked, the bytes read
 * back from everywhere. A face that takes no pushes must say so on every route.
 */
import { describe, expect, it } from 'vitest'
import { type Answer, call, expectRefusal, streamOf } from '../client.ts'
import {
  ALGORITHMS,
  type Algorithm,
  contentOf,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  descriptorOf,
  EMPTY_JSON,
  freshArtifact,
  freshContent,
  freshImage,
  freshRepository,
  type ImageContent,
  indexOf,
  MANIFEST_BYTES_MAX,
  type ManifestContent,
  manifestOf,
  nobody,
  OCI_CONFIG,
  OCI_EMPTY,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  padded,
} from '../content.ts'
import type { Face } from '../faces.ts'
import { locationOf, pushBlob, pushImage, pushManifest, putManifest } from '../pushing.ts'
import { refusingPushes } from './refusing-pushes.ts'

const SCHEMA_1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws'

export function pushManifests(face: Face): void {
  if (face.canPush) allManifests(face)
  else refusingPushes(face)
}

function allManifests(face: Face): void {
  const base = () => face.url
  const get = (repository: string, reference: string) =>
    call(base(), 'GET', `/v2/${repository}/manifests/${reference}`)

  /** The manifest was taken, and is byte for byte where the answer says and under every reference. */
  const expectStored = async (
    answer: Answer,
    repository: string,
    manifest: ManifestContent,
    ...references: string[]
  ) => {
    const location = locationOf(answer, 201)
    expect(answer.header('docker-content-digest')).toBe(manifest.digest)
    const paths = [manifest.digest, ...references].map((each) => `/v2/${repository}/manifests/${each}`)
    for (const path of [location, ...paths]) {
      const pulled = await call(base(), 'GET', path)
      expect(pulled.status).toBe(200)
      expect(pulled.bytes.equals(manifest.bytes), 'byte for byte').toBe(true)
      expect(pulled.header('content-type')).toBe(manifest.mediaType)
      expect(pulled.header('docker-content-digest')).toBe(manifest.digest)
    }
  }
  const pushAnd = async (image: ImageContent, reference?: string, name = freshRepository()) => {
    const references = reference === undefined ? [] : [reference]
    await expectStored(await pushImage(base(), name, image, reference), name, image.manifest, ...references)
    return name
  }
  /** A repository that has the image's blobs and no manifest. */
  const withBlobs = async (image: ImageContent) => {
    const name = freshRepository()
    for (const blob of image.blobs) await pushBlob(base(), name, blob)
    return name
  }

  describe('pushing manifests', () => {
    it('by tag, and again by another', async () => {
      const image = freshImage()
      const name = await pushAnd(image, 'one')
      await pushAnd(image, 'two', name)
    })

    it.each(ALGORITHMS)('by %s digest', async (algorithm) => {
      await pushAnd(freshImage({}, { algorithm }))
    })

    it.each(ALGORITHMS)('by %s digest, with tags as parameters', async (algorithm) => {
      const image = freshImage({}, { algorithm })
      const name = await withBlobs(image)
      const { digest } = image.manifest
      const tags = ['v1', 'v1.2', 'latest']
      const query = tags.map((tag) => `tag=${tag}`).join('&')
      const answer = await putManifest(base(), name, `${digest}?${query}`, image.manifest)
      await expectStored(answer, name, image.manifest, ...tags)
      expect(
        answer
          .header('oci-tag')!
          .split(',')
          .map((tag) => tag.trim())
          .toSorted(),
      ).toEqual(tags.toSorted())
    })

    it.each(ALGORITHMS)('an index with tags as parameters, by %s', async (algorithm) => {
      const images = [freshImage({}, { algorithm }), freshImage({}, { algorithm })]
      const name = freshRepository()
      for (const [position, each] of images.entries()) {
        for (const blob of each.blobs) await pushBlob(base(), name, blob)
        const reference = `${each.manifest.digest}?tag=child-${position}`
        await expectStored(
          await putManifest(base(), name, reference, each.manifest),
          name,
          each.manifest,
          `child-${position}`,
        )
      }
      const index = indexOf(
        images.map(({ manifest }) => manifest),
        {},
        { algorithm },
      )
      const answer = await putManifest(base(), name, `${index.digest}?tag=a&tag=b&tag=a`, index)
      await expectStored(answer, name, index, 'a', 'b')
    })

    it('refuses a parameter that is no tag, and stores nothing', async () => {
      const image = freshImage()
      const name = await withBlobs(image)
      const { digest } = image.manifest
      for (const tag of ['', '.x', 'a%2Fb', 'x'.repeat(129)]) {
        const answer = await putManifest(base(), name, `${digest}?tag=good&tag=${tag}`, image.manifest)
        expectRefusal(answer, 400, 'TAG_INVALID')
      }
      for (const reference of [digest, 'good']) expect((await get(name, reference)).status).toBe(404)
    })

    it('bounds the tags of one push', async () => {
      const image = freshImage()
      const name = await withBlobs(image)
      const query = Array.from({ length: 1_000 }, (_, each) => `tag=t${each}`).join('&')
      const answer = await putManifest(base(), name, `${image.manifest.digest}?${query}`, image.manifest)
      expect([413, 414, 431]).toContain(answer.status)
      expect((await get(name, 't0')).status).toBe(404)
    })

    it('that are too long for a request line is no crash', async () => {
      const image = freshImage()
      const query = Array.from({ length: 5_000 }, (_, each) => `tag=tag-${each}`).join('&')
      const answer = await putManifest(base(), freshRepository(), `${nobody()}?${query}`, image.manifest)
      expect([413, 414, 431]).toContain(answer.status)
      expect((await call(base(), 'GET', '/v2/')).status).toBe(200)
    })

    it.each(['-x', '.x', 'a b', 'x'.repeat(129), 'ü'])('refuses the tag %j', async (tag) => {
      const image = freshImage()
      const name = await withBlobs(image)
      const answer = await putManifest(base(), name, encodeURIComponent(tag), image.manifest)
      expectRefusal(answer, 400, 'TAG_INVALID')
    })

    it('without a length', async () => {
      const image = freshImage()
      const name = await withBlobs(image)
      const answer = await call(base(), 'PUT', `/v2/${name}/manifests/streamed`, {
        headers: { 'content-type': image.manifest.mediaType },
        body: streamOf(image.manifest.bytes),
      })
      await expectStored(answer, name, image.manifest, 'streamed')
    })

    it('moves a tag', async () => {
      const [before, after] = [freshImage(), freshImage()]
      const name = await pushAnd(before, 'moving')
      await pushAnd(after, 'moving', name)
      expect((await get(name, before.manifest.digest)).status).toBe(200)
    })
  })

  describe('the digest of a manifest', () => {
    it.each(ALGORITHMS)('that is of other bytes is a 400 and leaves nothing, by %s', async (algorithm) => {
      const image = freshImage({}, { algorithm })
      const name = await withBlobs(image)
      const { digest, bytes, mediaType } = image.manifest
      const longer = { bytes: Buffer.concat([bytes, Buffer.from('  ')]), mediaType }
      expectRefusal(await putManifest(base(), name, digest, longer), 400, 'DIGEST_INVALID')
      expectRefusal(await putManifest(base(), name, `${digest}?tag=t`, longer), 400, 'DIGEST_INVALID')
      for (const reference of [digest, contentOf(longer.bytes, algorithm).digest, 't'])
        expect((await get(name, reference)).status).toBe(404)
    })

    it.each(['sha256:baddigeststring', 'sha256:', 'md5:d41d8cd98f00b204e9800998ecf8427e'])(
      'that cannot be is a 400: %s',
      async (digest) => {
        const image = freshImage()
        const name = await withBlobs(image)
        expectRefusal(await putManifest(base(), name, digest, image.manifest), 400, 'DIGEST_INVALID')
      },
    )
  })

  describe('the length of a manifest', () => {
    const ofLength = (lengthBytes: number): ImageContent => {
      const image = freshImage()
      return { ...image, manifest: padded(image.manifest, lengthBytes) }
    }

    it.each(['tag', 'digest'])('may be 4 MiB exactly, by %s', async (by) => {
      const image = ofLength(MANIFEST_BYTES_MAX)
      expect(image.manifest.bytes).toHaveLength(MANIFEST_BYTES_MAX)
      await pushAnd(image, by === 'tag' ? 'large' : undefined)
    })

    it('may not be one byte more', async () => {
      const image = ofLength(MANIFEST_BYTES_MAX + 1)
      const name = await withBlobs(image)
      expectRefusal(await putManifest(base(), name, 'large', image.manifest), 413, 'MANIFEST_INVALID')
      const streamed = await call(base(), 'PUT', `/v2/${name}/manifests/large`, {
        headers: { 'content-type': OCI_MANIFEST },
        body: streamOf(image.manifest.bytes),
      })
      expectRefusal(streamed, 413, 'MANIFEST_INVALID')
      expect((await get(name, 'large')).status).toBe(404)
    })
  })

  describe('the bytes of a manifest', () => {
    it('are kept: fields that nobody knows, order, white space, letters of all kinds', async () => {
      const { blobs, manifest } = freshImage({
        annotations: { 'org.example.text': 'Zoë \u{1f433} </script> \\u0000' },
        'org.example.unknown': { nested: [1, 2.5, null, true, { deeper: '…' }] },
        zz: 'placeholder',
      })
      const document = JSON.parse(manifest.bytes.toString())
      const text = `\n\t${JSON.stringify(document, undefined, '\t')}\r\n  `.replace(
        '"zz": "placeholder"',
        '"zz":1.0e+2 , "aa" : "\\u0041"',
      )
      await pushAnd({ blobs, manifest: { ...contentOf(text), mediaType: OCI_MANIFEST } }, 'kept')
    })

    it('are kept in indexes and their descriptors too', async () => {
      const child = freshImage()
      const name = await pushAnd(child)
      const index = manifestOf(
        {
          manifests: [descriptorOf(OCI_MANIFEST, child.manifest, { 'org.example.unknown': [{}] })],
          'org.example.other': 'x',
        },
        OCI_INDEX,
      )
      await expectStored(await pushManifest(base(), name, index, 'kept'), name, index, 'kept')
    })

    it.each([
      ['not JSON', 'no manifest'],
      ['empty', ''],
      ['cut', '{"schemaVersion":2'],
      ['a list', '[]'],
      ['a text', '"manifest"'],
      ['nothing', 'null'],
      ['not UTF-8', Buffer.from([0x7b, 0xff, 0xfe, 0x7d])],
    ])('that are %s are refused', async (_what, body) => {
      const name = freshRepository()
      const bytes = Buffer.from(body as string)
      const answer = await putManifest(base(), name, 'bad', { bytes, mediaType: OCI_MANIFEST })
      expectRefusal(answer, 400, 'MANIFEST_INVALID')
      expect((await get(name, 'bad')).status).toBe(404)
    })
  })

  describe('the type of a manifest', () => {
    const put = (name: string, document: object, contentType?: string) =>
      call(base(), 'PUT', `/v2/${name}/manifests/typed`, {
        headers: contentType === undefined ? {} : { 'content-type': contentType },
        body: JSON.stringify(document),
      })
    const typeless = async () => {
      const image = freshImage()
      const { mediaType: _, ...document } = JSON.parse(image.manifest.bytes.toString())
      return { name: await withBlobs(image), document }
    }

    it.each([
      [OCI_MANIFEST, `${OCI_MANIFEST}; charset=utf-8`],
      [OCI_MANIFEST, OCI_MANIFEST.toUpperCase()],
      [OCI_MANIFEST, undefined],
      [undefined, OCI_MANIFEST],
    ])('is %s in the document and %s in the header: taken', async (declared, header) => {
      const { name, document } = await typeless()
      const answer = await put(name, declared ? { ...document, mediaType: declared } : document, header)
      locationOf(answer, 201)
      expect((await get(name, 'typed')).header('content-type')).toBe(OCI_MANIFEST)
    })

    it.each([
      [OCI_MANIFEST, OCI_INDEX],
      [OCI_INDEX, OCI_MANIFEST],
      [OCI_MANIFEST, DOCKER_MANIFEST],
      [DOCKER_MANIFEST, OCI_MANIFEST],
      [OCI_MANIFEST, 'text/plain'],
      [undefined, OCI_INDEX],
      [undefined, DOCKER_LIST],
      ['application/vnd.example.other+json', 'application/vnd.example.other+json'],
    ])('is %s in the document and %s in the header: refused', async (declared, header) => {
      const { name, document } = await typeless()
      const answer = await put(name, declared ? { ...document, mediaType: declared } : document, header)
      expectRefusal(answer, 400, 'MANIFEST_INVALID')
      expect((await get(name, 'typed')).status).toBe(404)
    })

    it.each([OCI_MANIFEST, OCI_INDEX])(
      'is one: %s with both layers and manifests is refused',
      async (type) => {
        const { name, document } = await typeless()
        const both = { ...document, mediaType: type, manifests: [] }
        expectRefusal(await put(name, both, type), 400, 'MANIFEST_INVALID')
      },
    )

    it.each([
      ['by its type', SCHEMA_1, { schemaVersion: 1, name: 'x', tag: 'y', fsLayers: [], history: [] }],
      ['in disguise', OCI_MANIFEST, { schemaVersion: 1, fsLayers: [] }],
      ['without a type', undefined, { schemaVersion: 1, name: 'x', tag: 'y', fsLayers: [] }],
    ])('is not Docker’s first, %s, and the answer says why', async (_how, type, document) => {
      const answer = await put(freshRepository(), document, type)
      expectRefusal(answer, 400, 'MANIFEST_INVALID')
      expect(answer.json().errors[0].message).toMatch(/schemaVersion 1 is not supported/)
    })

    it('is Docker’s second, and its lists', async () => {
      const image = freshImage({}, { mediaType: DOCKER_MANIFEST })
      const name = await pushAnd(image, 'docker')
      const list = indexOf([image.manifest], {}, { mediaType: DOCKER_LIST })
      await expectStored(await pushManifest(base(), name, list, 'list'), name, list, 'list')
    })
  })

  describe('what a manifest names', () => {
    it('must be there, and the answer names every blob that is not', async () => {
      const image = freshImage()
      const name = freshRepository()
      const answer = await putManifest(base(), name, 'sparse', image.manifest)
      expectRefusal(answer, 400, 'MANIFEST_BLOB_UNKNOWN')
      const { errors } = answer.json()
      expect(errors.map((error: { code: string }) => error.code)).toEqual(
        image.blobs.map(() => 'MANIFEST_BLOB_UNKNOWN'),
      )
      for (const { digest } of image.blobs) expect(JSON.stringify(errors)).toContain(digest)
      expect((await get(name, 'sparse')).status).toBe(404)
    })

    it('must be in this repository', async () => {
      const image = freshImage()
      await pushAnd(image)
      const answer = await putManifest(base(), freshRepository(), '1', image.manifest)
      expectRefusal(answer, 400, 'MANIFEST_BLOB_UNKNOWN')
    })

    it.each(['config', 'layers'])('must be descriptors: %s', async (field) => {
      // Tools that have no layers leave the list out, or write null: none, as for other registries.
      const nothing = field === 'layers' ? [] : [undefined, null]
      for (const wrong of [...nothing, 7, {}, [7], [null], { mediaType: OCI_LAYER, digest: nobody() }]) {
        const image = freshImage({ [field]: wrong })
        const answer = await putManifest(base(), freshRepository(), 'wrong', image.manifest)
        expectRefusal(answer, 400, 'MANIFEST_INVALID')
      }
    })

    it.each([undefined, null])('may be no layers at all: %s', async (layers) => {
      const image = freshImage({ layers })
      const name = await pushAnd(image, 'bare')
      await expectStored(await pushManifest(base(), name, image.manifest), name, image.manifest)
    })

    it('may be brought along in `data`', async () => {
      const config = contentOf('{"with":"data"}')
      const layer = freshContent(64)
      const withData = (type: string, content: typeof config) =>
        descriptorOf(type, content, { data: content.bytes.toString('base64') })
      const manifest = manifestOf({
        config: withData(OCI_CONFIG, config),
        layers: [withData(OCI_LAYER, layer)],
      })
      const name = await pushAnd({ manifest, blobs: [config, layer] }, 'data')
      const index = manifestOf({ manifests: [withData(OCI_MANIFEST, manifest)] }, OCI_INDEX)
      await expectStored(await pushManifest(base(), name, index), name, index)
    })

    it('may be nowhere: layers that must not be distributed', async () => {
      const { blobs, manifest } = freshImage()
      const document = JSON.parse(manifest.bytes.toString())
      const foreign = ['.tar', '.tar+gzip', '.tar+zstd'].map((end) => ({
        mediaType: `application/vnd.oci.image.layer.nondistributable.v1${end}`,
        digest: nobody(),
        size: 123_456,
        urls: ['https://store.example.com/blobs/x'],
      }))
      const layers = [...foreign, ...document.layers]
      await pushAnd({ blobs, manifest: manifestOf({ ...document, layers }) }, 'foreign')
    })

    it.each([
      ['no layers', () => ({ layers: [] })],
      [
        'one layer twice',
        ({ blobs }: ImageContent) => ({ layers: [1, 2].map(() => descriptorOf(OCI_LAYER, blobs[1]!)) }),
      ],
    ])('may be %s', async (_what, fields) => {
      const image = freshImage()
      const document = JSON.parse(image.manifest.bytes.toString())
      await pushAnd({ ...image, manifest: manifestOf({ ...document, ...fields(image) }) }, 'odd')
    })

    it('may be a hundred layers', async () => {
      const layers = Array.from({ length: 100 }, () => freshContent(8))
      const config = contentOf('{"hundred":"layers"}')
      const manifest = manifestOf({
        config: descriptorOf(OCI_CONFIG, config),
        layers: layers.map((layer) => descriptorOf(OCI_LAYER, layer)),
      })
      await pushAnd({ manifest, blobs: [config, ...layers] }, 'many')
    })

    it('may be an artifact: with a type, without layers of its own, with neither', async () => {
      await pushAnd(freshArtifact({}, 'application/vnd.example.sbom.v1'), 'artifact')
      await pushAnd(
        freshArtifact({ layers: [descriptorOf(OCI_EMPTY, EMPTY_JSON)] }, 'application/x'),
        'empty',
      )
      await pushAnd(freshArtifact({ layers: [] }, 'application/x'), 'no-layers')
      await pushAnd(freshArtifact({ config: descriptorOf('application/vnd.example', EMPTY_JSON) }), 'typed')
    })
  })

  describe.each(ALGORITHMS)('indexes by %s', (algorithm: Algorithm) => {
    it('of images', async () => {
      const images = [freshImage({}, { algorithm }), freshImage({}, { algorithm })]
      const name = freshRepository()
      for (const image of images) await pushAnd(image, undefined, name)
      const index = indexOf(
        images.map(({ manifest }) => manifest),
        {},
        { algorithm },
      )
      await expectStored(await pushManifest(base(), name, index), name, index)
    })

    it('of nothing', async () => {
      const name = freshRepository()
      const index = indexOf([], { annotations: { name } }, { algorithm })
      await expectStored(await pushManifest(base(), name, index), name, index)
    })

    it('of indexes', async () => {
      const name = freshRepository()
      const inner = []
      for (let each = 0; each < 2; each++) {
        const image = freshImage({}, { algorithm })
        await pushAnd(image, undefined, name)
        const index = indexOf([image.manifest], {}, { algorithm })
        await expectStored(await pushManifest(base(), name, index), name, index)
        inner.push(index)
      }
      const outer = indexOf(inner, {}, { algorithm })
      await expectStored(await pushManifest(base(), name, outer), name, outer)
    })

    it('of what is not there: sparse, and filled later', async () => {
      const [here, later] = [freshImage({}, { algorithm }), freshImage({}, { algorithm })]
      const name = await pushAnd(here)
      const index = indexOf([here.manifest, later.manifest], {}, { algorithm })
      await expectStored(await pushManifest(base(), name, index), name, index)
      expect((await get(name, later.manifest.digest)).status).toBe(404)
      await pushAnd(later, undefined, name)
    })

    it('of artifacts', async () => {
      const name = freshRepository()
      const artifacts = [freshArtifact({}, 'application/vnd.example.v1'), freshArtifact()]
      for (const artifact of artifacts) await pushAnd(artifact, undefined, name)
      const index = indexOf(
        artifacts.map(({ manifest }) => manifest),
        { artifactType: 'application/vnd.example.v1' },
        { algorithm },
      )
      await expectStored(await pushManifest(base(), name, index), name, index)
    })
  })

  describe('a subject', () => {
    it('is confirmed with OCI-Subject, whether or not it is there', async () => {
      const image = freshImage()
      const name = await pushAnd(image, 'subject')
      for (const subject of [
        descriptorOf(OCI_MANIFEST, image.manifest),
        { mediaType: OCI_MANIFEST, digest: nobody(), size: 123 },
        { mediaType: OCI_MANIFEST, digest: nobody('sha512'), size: 123 },
      ]) {
        const artifact = freshArtifact({ subject }, 'application/vnd.example.v1')
        const answer = await pushImage(base(), name, artifact)
        expect(answer.header('oci-subject')).toBe(subject.digest)
        await expectStored(answer, name, artifact.manifest)
        const index = indexOf([], { subject, annotations: { of: subject.digest } })
        expect((await pushManifest(base(), name, index)).header('oci-subject')).toBe(subject.digest)
        const tagged = await pushManifest(base(), name, index, 'tagged')
        expect(tagged.header('oci-subject')).toBe(subject.digest)
      }
    })

    it('is not confirmed where there is none', async () => {
      const answer = await pushImage(base(), freshRepository(), freshImage())
      expect(answer.header('oci-subject')).toBeUndefined()
      expect(answer.header('oci-tag')).toBeUndefined()
    })

    it.each([7, [], {}, { mediaType: OCI_MANIFEST, digest: 'sha256:abc', size: 1 }])(
      'must be a descriptor, not %j',
      async (subject) => {
        const artifact = freshArtifact({ subject })
        const name = await withBlobs(artifact)
        expectRefusal(await putManifest(base(), name, 'x', artifact.manifest), 400, 'MANIFEST_INVALID')
      },
    )
  })
}
