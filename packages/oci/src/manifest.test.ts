/**
 * Goal: every manifest in use is understood, and no document can be read as two kinds.
 * Method: good manifests of each kind, then each with one thing wrong.
 */

import { parseDigest } from '@shoal/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { OciError } from './errors.ts'
import {
  childManifests,
  INDEX_MANIFESTS_MAX,
  LAYERS_MAX,
  listedBlobs,
  namedDescriptors,
  parseManifest,
  requiredBlobs,
} from './manifest.ts'
import { MEDIA_TYPES, mediaTypeOfHeader } from './media-types.ts'
import { chooseManifest } from './platform.ts'
import { referrerOf } from './referrer.ts'

const digest = (byte: string) => `sha256:${byte.repeat(32)}`
const config = { mediaType: MEDIA_TYPES.ociConfig, digest: digest('c0'), size: 10 }
const layer = (byte: string) => ({ mediaType: MEDIA_TYPES.ociLayerGzip, digest: digest(byte), size: 20 })
const image = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociManifest,
  config,
  layers: [layer('01'), layer('02')],
}
const child = (byte: string, os: string, architecture: string, variant?: string) => ({
  mediaType: MEDIA_TYPES.ociManifest,
  digest: digest(byte),
  size: 5,
  platform: { os, architecture, ...(variant ? { variant } : {}) },
})
const index = {
  schemaVersion: 2,
  mediaType: MEDIA_TYPES.ociIndex,
  manifests: [
    child('a1', 'linux', 'amd64'),
    child('a2', 'linux', 'arm64', 'v8'),
    child('a3', 'unknown', 'unknown'),
  ],
}

const parse = (document: unknown, contentType?: string) =>
  parseManifest(JSON.stringify(document), contentType)
const refusal = (document: unknown, contentType?: string) => {
  try {
    parse(document, contentType)
  } catch (error) {
    expect(error).toBeInstanceOf(OciError)
    expect((error as OciError).code).toBe('MANIFEST_INVALID')
    return (error as OciError).message
  }
  throw new Error('it was not refused')
}

describe('good manifests', () => {
  test('an OCI image names its configuration and layers', () => {
    const parsed = parse(image, MEDIA_TYPES.ociManifest)
    expect(parsed).toMatchObject({ kind: 'image', mediaType: MEDIA_TYPES.ociManifest })
    expect(requiredBlobs(parsed).map((blob) => blob.digest)).toEqual([
      digest('c0'),
      digest('01'),
      digest('02'),
    ])
    expect(childManifests(parsed)).toEqual([])
  })

  test('a Docker image and a Docker list', () => {
    const docker = { ...image, mediaType: MEDIA_TYPES.dockerManifest }
    expect(parse(docker, MEDIA_TYPES.dockerManifest).kind).toBe('image')
    const list = { ...index, mediaType: MEDIA_TYPES.dockerManifestList }
    expect(parse(list, MEDIA_TYPES.dockerManifestList).kind).toBe('index')
  })

  test('an index names its children and needs no blob', () => {
    const parsed = parse(index)
    expect(requiredBlobs(parsed)).toEqual([])
    expect(childManifests(parsed).map((entry) => entry.digest)).toEqual([
      digest('a1'),
      digest('a2'),
      digest('a3'),
    ])
  })

  test('without any media type, the fields decide between the OCI kinds', () => {
    const { mediaType: _1, ...bareImage } = image
    const { mediaType: _2, ...bareIndex } = index
    expect(parse(bareImage).mediaType).toBe(MEDIA_TYPES.ociManifest)
    expect(parse(bareIndex).mediaType).toBe(MEDIA_TYPES.ociIndex)
    expect(parse(bareIndex, 'application/json').mediaType).toBe(MEDIA_TYPES.ociIndex)
  })

  test('a layer that is named twice is one blob; foreign layers and those with urls are elsewhere', () => {
    const foreign = { ...layer('03'), mediaType: MEDIA_TYPES.dockerForeignLayerGzip }
    const elsewhere = { ...layer('04'), urls: ['https://example.org/layer'] }
    const parsed = parse({ ...image, layers: [layer('01'), layer('01'), foreign, elsewhere] })
    expect(requiredBlobs(parsed).map((blob) => blob.digest)).toEqual([digest('c0'), digest('01')])
  })

  test('subject and artifactType of a referrer', () => {
    const parsed = parse({
      ...image,
      subject: { ...config, digest: digest('99') },
      artifactType: 'application/x',
    })
    expect(parsed.subject?.digest).toBe(digest('99'))
    expect(parsed.artifactType).toBe('application/x')
  })
})

describe('what Go writes for nothing', () => {
  const { layers: _layers, ...withoutLayers } = image
  const { manifests: _manifests, ...withoutManifests } = index

  test.each([
    ['no layers', withoutLayers],
    ['layers', { ...image, layers: null }],
    ['layers of a Docker image', { ...image, mediaType: MEDIA_TYPES.dockerManifest, layers: null }],
    ['no manifests', withoutManifests],
    ['manifests', { ...index, manifests: null }],
    ['the lists of the other kind', { ...image, manifests: null, fsLayers: null }],
    ['the fields of the other kind', { ...index, config: null, layers: null }],
    ['subject', { ...image, subject: null }],
    ['artifactType', { ...image, artifactType: null }],
    ['annotations', { ...index, annotations: null }],
    ['mediaType', { ...image, mediaType: null }],
    [
      'fields of descriptors',
      { ...image, config: { ...config, urls: null, platform: null, artifactType: null } },
    ],
    [
      'fields of platforms',
      { ...index, manifests: [{ ...index.manifests[0], platform: { os: null, variant: null } }] },
    ],
  ])('%s', (_what, document) => {
    const kind = 'config' in document && document.config !== null ? 'image' : 'index'
    const parsed = parse(document)
    expect(parsed).toMatchObject({ kind, annotations: {} })
    expect(parsed.subject).toBeUndefined()
    expect(parsed.artifactType).toBeUndefined()
  })

  test('an absent list is an empty one, and nothing more of the document is lost', () => {
    expect(requiredBlobs(parse({ ...image, layers: null })).map((blob) => blob.digest)).toEqual([
      digest('c0'),
    ])
    expect(childManifests(parse({ ...index, manifests: null }))).toEqual([])
    expect(parse({ ...image, mediaType: null }).mediaType).toBe(MEDIA_TYPES.ociManifest)
    expect(parse({ ...image, mediaType: null, manifests: null }).kind).toBe('image')
    expect(parse({ schemaVersion: 2, manifests: null }).kind).toBe('index')
    expect(parse({ ...image, annotations: { a: null, b: 'c' } }).annotations).toEqual({ a: '', b: 'c' })
  })

  test('a descriptor without a media type is a layer among layers, and a manifest in an index', () => {
    for (const mediaType of ['', null, undefined]) {
      const parsed = parse({
        ...image,
        config: { ...config, mediaType },
        layers: [{ ...layer('01'), mediaType }],
      })
      expect(requiredBlobs(parsed).map((blob) => blob.mediaType)).toEqual(['', ''])
      expect(referrerOf(parsed, parseDigest(digest('c0')), 1)).not.toHaveProperty('artifactType')
      expect(
        childManifests(parse({ ...index, manifests: [{ ...index.manifests[0], mediaType }] })),
      ).toHaveLength(1)
    }
  })
})

describe('what a document names', () => {
  const digests = (descriptors: readonly { digest: string }[]) => descriptors.map((each) => each.digest)

  test('an index may list blobs beside manifests, as a build cache does', () => {
    const cacheConfig = {
      mediaType: 'application/vnd.buildkit.cacheconfig.v0',
      digest: digest('b0'),
      size: 7,
    }
    const parsed = parse({
      ...index,
      manifests: [layer('01'), index.manifests[0], cacheConfig, layer('01')],
    })
    expect(digests(childManifests(parsed))).toEqual([digest('a1')])
    expect(digests(listedBlobs(parsed))).toEqual([digest('01'), digest('b0')])
    // They may be missing, like the manifests of an index.
    expect(requiredBlobs(parsed)).toEqual([])
  })

  test.each([
    MEDIA_TYPES.ociManifest,
    MEDIA_TYPES.ociIndex,
    MEDIA_TYPES.dockerManifest,
    MEDIA_TYPES.dockerManifestList,
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
    'application/vnd.oci.artifact.manifest.v1+json',
  ])('%s is a manifest', (mediaType) => {
    const parsed = parse({ ...index, manifests: [{ ...index.manifests[0], mediaType }] })
    expect(childManifests(parsed)).toHaveLength(1)
    expect(listedBlobs(parsed)).toEqual([])
  })

  test('everything that is named is in use: foreign layers, entries of either kind, the subject', () => {
    const foreign = { ...layer('03'), mediaType: MEDIA_TYPES.dockerForeignLayerGzip }
    const subject = { ...config, digest: digest('99') }
    expect(digests(namedDescriptors(parse({ ...image, layers: [layer('01'), foreign], subject })))).toEqual([
      digest('c0'),
      digest('01'),
      digest('03'),
      digest('99'),
    ])
    const listed = parse({ ...index, manifests: [index.manifests[0], layer('01')], subject })
    expect(digests(namedDescriptors(listed))).toEqual([digest('a1'), digest('01'), digest('99')])
  })
})

describe('documents that could be read as two things (CVE-2021-41190)', () => {
  test('layers and manifests together', () => {
    expect(refusal({ ...image, manifests: index.manifests })).toMatch(/manifests/)
    expect(refusal({ ...index, layers: image.layers })).toMatch(/layers/)
    expect(refusal({ ...index, config })).toMatch(/config/)
  })

  test('a mediaType that contradicts the Content-Type', () => {
    expect(refusal(image, MEDIA_TYPES.ociIndex)).toMatch(/contradicts/)
    expect(refusal(image, MEDIA_TYPES.dockerManifest)).toMatch(/contradicts/)
    expect(refusal(index, MEDIA_TYPES.ociManifest)).toMatch(/contradicts/)
  })

  test('a Docker manifest that does not say what it is', () => {
    const { mediaType: _, ...bare } = image
    expect(refusal(bare, MEDIA_TYPES.dockerManifest)).toMatch(/missing/)
  })

  test('the fields of one kind under the other’s Content-Type', () => {
    const { mediaType: _, ...bare } = image
    refusal(bare, MEDIA_TYPES.ociIndex)
  })
})

describe('refused', () => {
  test('schema 1, said in any way, with advice', () => {
    expect(refusal({ schemaVersion: 1, fsLayers: [] })).toMatch(/current client/)
    expect(refusal(image, 'application/vnd.docker.distribution.manifest.v1+prettyjws')).toMatch(
      /current client/,
    )
  })

  test.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['null', 'null'],
    ['nested beyond reason', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
  ])('%s', (_, text) => {
    expect(() => parseManifest(text)).toThrow(OciError)
  })

  test.each([
    ['a size below zero', { ...config, size: -1 }],
    ['a size with a fraction', { ...config, size: 1.5 }],
    ['a size as text', { ...config, size: '10' }],
    ['a size beyond whole numbers', { ...config, size: 2 ** 60 }],
    ['no size', { mediaType: config.mediaType, digest: config.digest }],
    ['a digest of another algorithm', { ...config, digest: `md5:${'0'.repeat(32)}` }],
    ['a digest that leaves the store', { ...config, digest: 'sha256:../../etc/passwd' }],
    ['a mediaType that is no text', { ...config, mediaType: 7 }],
    ['a mediaType beyond reason', { ...config, mediaType: `application/vnd.${'a'.repeat(300)}` }],
    ['no digest', { mediaType: config.mediaType, digest: null, size: 1 }],
    ['no descriptor', null],
  ])('a descriptor with %s', (_, bad) => {
    expect(refusal({ ...image, config: bad })).toMatch(/config/)
    expect(refusal({ ...image, layers: [layer('01'), bad] })).toMatch(/layers\[1\]/)
    expect(refusal({ ...index, manifests: [bad] })).toMatch(/manifests\[0\]/)
  })

  test('no configuration, lists that are none, unknown types, another schemaVersion', () => {
    for (const absent of [undefined, null]) expect(refusal({ ...image, config: absent })).toMatch(/config/)
    refusal({ ...image, layers: {} })
    refusal({ ...index, manifests: '' })
    refusal({ ...image, mediaType: 'application/vnd.example' })
    refusal({ ...image, schemaVersion: 3 })
    refusal({ ...image, schemaVersion: undefined })
  })

  test('longer lists than the bounds, at the bound and one beyond', () => {
    const layers = (count: number) => ({ ...image, layers: Array.from({ length: count }, () => layer('01')) })
    expect(parse(layers(LAYERS_MAX)).kind).toBe('image')
    refusal(layers(LAYERS_MAX + 1))
    refusal({
      ...index,
      manifests: Array.from({ length: INDEX_MANIFESTS_MAX + 1 }, () => index.manifests[0]),
    })
  })

  test('any JSON is parsed or refused with the one error', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        try {
          parse({ schemaVersion: 2, config: value, layers: [value], manifests: undefined })
        } catch (error) {
          expect(error).toBeInstanceOf(OciError)
        }
      }),
    )
  })
})

test('a Content-Type header loses its parameters', () => {
  expect(mediaTypeOfHeader('Application/JSON; charset=utf-8')).toBe('application/json')
  expect(mediaTypeOfHeader('')).toBeUndefined()
  expect(mediaTypeOfHeader(undefined)).toBeUndefined()
})

test('the manifest of a machine is chosen from an index, never an attestation', () => {
  const parsed = parse(index)
  if (parsed.kind !== 'index') throw new Error('not an index')
  expect(chooseManifest(parsed, { os: 'linux', architecture: 'amd64' })?.digest).toBe(digest('a1'))
  expect(chooseManifest(parsed, { os: 'linux', architecture: 'arm64' })?.digest).toBe(digest('a2'))
  expect(chooseManifest(parsed, { os: 'linux', architecture: 'arm64', variant: 'v9' })).toBeUndefined()
  expect(chooseManifest(parsed, { os: 'linux', architecture: 's390x' })).toBeUndefined()
})
