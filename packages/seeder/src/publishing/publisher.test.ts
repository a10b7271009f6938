/**
 * Goal: a published image is here whole, is told of in lines that a client understands, and half of one is never shown.
 * Method: the publisher over a folder and a registry that counts; every line goes through the client's own decoder.
 */
import { type Digest, parseDigest } from '@shoal/core'
import type { Manifest } from '@shoal/oci'
import { MEDIA_TYPES } from '@shoal/oci'
import { UpstreamBusyError, UpstreamUnavailableError } from '@shoal/registry-client'
import { patternBytes, sha256 } from '@shoal/testing/content'
import { decodePublishLine, encodePublishLine, type PublishLine } from '@shoal/wire'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { BlobFetches } from '../mirror/blob-fetches.ts'
import { CHUNK_BYTES, FakeRegistry, upstreamsOf } from '../testing/fake-registry.ts'
import { type ImageOrigin, openOrigin, silent } from '../testing/image-origin.ts'
import { imageOf, indexOf, manifestOf } from '../testing/images.ts'
import type { NodeWarmer, WarmImage } from './node-warmer.ts'
import { Publisher, type PublishWish } from './publisher.ts'
import { WarmSelectorInvalidError } from './warm-selector.ts'

const HOST = 'registry.test'
const NAME = `${HOST}/team/app`
const REFERENCE = `${NAME}:1`
const NEVER = new AbortController().signal

const shared = patternBytes(3_000)
const amd = imageOf('{"architecture":"amd64"}', shared, patternBytes(2_000, 2))
const arm = imageOf('{"architecture":"arm64"}', shared, patternBytes(1_500, 3))
const amd64 = { os: 'linux', architecture: 'amd64' }
const arm64 = { os: 'linux', architecture: 'arm64', variant: 'v8' }
const index = indexOf(
  { manifest: amd.manifest, platform: amd64 },
  { manifest: arm.manifest, platform: arm64 },
)

let origin: ImageOrigin
let registry: FakeRegistry
let fetches: BlobFetches
let publisher: Publisher
let lines: PublishLine[]
let warmed: WarmImage[]
let nowMs: number

beforeEach(async () => {
  origin = await openOrigin()
  registry = new FakeRegistry(HOST)
  for (const image of [amd, arm]) registry.push('team/app', undefined, image)
  registry.push('team/app', '1', amd)
  registry.push('team/app', 'multi', index)
  lines = []
  warmed = []
  nowMs = 0
  const { images } = origin
  fetches = new BlobFetches({
    images,
    log: silent,
    onReceived: () => {},
    nowMs: () => Date.now(),
    arriving: { begin: async () => undefined },
  })
  const warmer: Pick<NodeWarmer, 'begin' | 'warm'> = {
    begin: () => [],
    async warm(image, _selects, _signal, onProgress) {
      warmed.push(image)
      onProgress(2, 0)
      onProgress(2, 2)
    },
  }
  publisher = new Publisher(
    {
      images,
      upstreams: upstreamsOf(registry),
      fetches,
      warmer: warmer as NodeWarmer,
      log: silent,
      nowMs: () => nowMs,
    },
    { ownHosts: ['shoal.test'] },
  )
})
afterEach(async () => {
  await fetches.stop()
  await origin[Symbol.asyncDispose]()
})

const publish = (reference = REFERENCE, wish: Partial<PublishWish> = {}, signal = NEVER) =>
  publisher.publish(
    { reference, isPinned: true, ...wish },
    (line) => lines.push(decodePublishLine(encodePublishLine(line))),
    signal,
  )
const tagNow = async (name = NAME, tag = '1') => (await origin.images.tag(name, tag))?.digest
const hasManifest = async ({ digest }: Manifest, name = NAME) =>
  (await origin.images.manifest(name, { kind: 'digest', digest })) !== undefined
const hasBlob = async (digest: Digest, name = NAME) =>
  (await origin.images.blobStat(name, digest, 'pull')) !== undefined
const has = async (bytes: Uint8Array, name = NAME) => hasBlob(sha256(bytes), name)
const layersSaid = () => (lines[0]?.type === 'image' ? lines[0].layers.map(({ digest }) => digest) : [])

describe('an image of another registry', () => {
  it('is brought here, blobs first, the tag last', async () => {
    const bytes = amd.blobs.reduce((sum, each) => sum + each.length, 0)
    let isTagEarly = false
    registry.fault = async ({ kind }) => {
      if (kind === 'blob')
        isTagEarly ||= (await origin.keys('repos/')).some((key) => !key.includes('/_blobs/'))
    }
    const published = await publish()
    expect(published).toEqual({
      name: NAME,
      digest: amd.manifest.digest,
      copiedBytes: bytes,
      presentBytes: 0,
    })
    expect(isTagEarly).toBe(false)
    expect(await origin.images.tag(NAME, '1')).toMatchObject({ digest: amd.manifest.digest, isPinned: true })
    for (const blob of amd.blobs) expect(await has(blob)).toBe(true)
  })

  it('is told of line by line: the image, then each layer from waiting to done', async () => {
    await publish()
    expect(lines[0]).toEqual({
      type: 'image',
      reference: REFERENCE,
      digest: amd.manifest.digest,
      layers: amd.blobs.map((blob) => ({ digest: sha256(blob), bytes: blob.length })),
    })
    expect(lines.slice(1).every((line) => line.type === 'layer')).toBe(true)
    for (const blob of amd.blobs) {
      const of = lines.filter((line) => line.type === 'layer' && line.digest === sha256(blob))
      expect(of[0]).toMatchObject({ state: 'waiting', receivedBytes: 0 })
      expect(of.at(-1)).toMatchObject({ state: 'done', receivedBytes: blob.length })
    }
  })

  it('says how far it is while it is copied', async () => {
    const hold = Promise.withResolvers<void>()
    registry.body = async function* (blob) {
      yield blob.subarray(0, CHUNK_BYTES)
      await hold.promise
      yield blob.subarray(CHUNK_BYTES)
    }
    const publishing = publish()
    await vi.waitFor(() =>
      expect(lines).toContainEqual({
        type: 'layer',
        reference: REFERENCE,
        digest: sha256(shared),
        receivedBytes: CHUNK_BYTES,
        state: 'copying',
      }),
    )
    hold.resolve()
    await publishing
  })

  it('that is here is not copied again; what another image has shared with it neither', async () => {
    await publish()
    registry.asked.length = 0
    lines = []
    registry.push('team/app', '2', arm)
    const published = await publish(`${NAME}:2`)
    expect(published).toMatchObject({ presentBytes: shared.length })
    expect(lines).toContainEqual({
      type: 'layer',
      reference: `${NAME}:2`,
      digest: sha256(shared),
      receivedBytes: shared.length,
      state: 'present',
    })
    expect(registry.count('blob', sha256(shared))).toBe(0)
    expect(await publish()).toMatchObject({ copiedBytes: 0 })
  })

  it('is kept under the name that was asked for, from where it was said to be', async () => {
    await publish('ours/app:7', { from: `${HOST}/team/app` }).catch(() => {})
    expect(await tagNow('ours/app', '7')).toBeUndefined()
    registry.push('team/app', '7', amd)
    expect(await publish('ours/app:7', { from: `${HOST}/team/app` })).toMatchObject({ name: 'ours/app' })
    expect(await tagNow('ours/app', '7')).toBe(amd.manifest.digest)
    expect(await hasManifest(amd.manifest)).toBe(false)
  })

  it('by digest gets no tag', async () => {
    await publish(`${NAME}@${amd.manifest.digest}`)
    expect(await hasManifest(amd.manifest)).toBe(true)
    expect(await origin.keys(`repos/${NAME}/_tags/`)).toEqual([])
  })

  it('that was told of rather than ordered follows its registry', async () => {
    await publish(REFERENCE, { isPinned: false })
    expect((await origin.images.tag(NAME, '1'))?.isPinned).toBeUndefined()
  })

  it('can be published twice at the same time, and comes once', async () => {
    const both = await Promise.all([publish(), publish()])
    expect(both.map(({ digest }) => digest)).toEqual([amd.manifest.digest, amd.manifest.digest])
    for (const blob of amd.blobs) expect(registry.count('blob', sha256(blob))).toBe(1)
  })
})

describe('an index', () => {
  const multi = `${NAME}:multi`

  it('comes with all its images', async () => {
    expect(await publish(multi)).toMatchObject({ digest: index.digest })
    for (const manifest of [index, amd.manifest, arm.manifest]) expect(await hasManifest(manifest)).toBe(true)
    expect(new Set(layersSaid())).toEqual(new Set([...amd.blobs, ...arm.blobs].map(sha256)))
    // What they share is told of once.
    expect(layersSaid()).toHaveLength(5)
  })

  it.each([
    ['linux/arm64', [arm], [amd]],
    ['linux/arm64/v8', [arm], [amd]],
    ['linux/amd64', [amd], [arm]],
  ])('comes with the images for %s alone; the index itself is whole', async (platform, wanted, others) => {
    await publish(multi, { platforms: [platform] })
    expect(await tagNow(NAME, 'multi')).toBe(index.digest)
    for (const { manifest } of wanted) expect(await hasManifest(manifest)).toBe(true)
    for (const { manifest, blobs } of others) {
      expect(await hasManifest(manifest)).toBe(false)
      expect(await has(blobs[2]!)).toBe(false)
    }
  })

  it.each([['linux/s390x'], ['linux/arm'], ['linux/arm64/v7'], ['windows/amd64']])(
    'without %s is refused, and says what it has',
    async (platform) => {
      await expect(publish(multi, { platforms: ['linux/amd64', platform] })).rejects.toMatchObject({
        code: 'PUBLISH_PLATFORM_UNKNOWN',
        message: expect.stringContaining(`has nothing for ${platform}; it has linux/amd64`),
      })
      expect(await origin.keys()).toEqual([])
    },
  )

  it('within an index comes too, and so do its platforms', async () => {
    const outer = indexOf({ manifest: index })
    registry.push('team/app', 'outer', outer)
    await publish(`${NAME}:outer`, { platforms: ['linux/amd64'] })
    for (const manifest of [outer, index, amd.manifest]) expect(await hasManifest(manifest)).toBe(true)
    expect(await hasManifest(arm.manifest)).toBe(false)
  })

  it('within an index within an index and so on is refused before anything comes', async () => {
    let outer = index
    for (let depth = 0; depth < 4; depth++) {
      outer = indexOf({ manifest: outer })
      registry.push('team/app', 'deep', outer)
    }
    await expect(publish(`${NAME}:deep`)).rejects.toMatchObject({ code: 'PUBLISH_TOO_DEEP' })
    expect(registry.count('blob')).toBe(0)
    expect(await origin.keys()).toEqual([])
  })

  it('with manifests of more than 64 MiB together is refused before anything comes', async () => {
    const padding = 'x'.repeat(4 * 1024 ** 2 - 1_000)
    const config = { mediaType: MEDIA_TYPES.ociConfig, digest: sha256('config'), size: 6 }
    const long = Array.from({ length: 17 }, (_, n) => {
      const manifest = manifestOf(MEDIA_TYPES.ociManifest, {
        config,
        layers: [],
        annotations: { padding, number: `${n}` },
      })
      registry.manifests.set(`team/app@${manifest.digest}`, manifest)
      return { manifest }
    })
    registry.push('team/app', 'long', indexOf(...long))
    await expect(publish(`${NAME}:long`)).rejects.toMatchObject({ code: 'PUBLISH_TOO_LARGE' })
    expect(registry.count('blob')).toBe(0)
    expect(await origin.keys()).toEqual([])
  })

  it('that names what nobody pushed comes with the rest', async () => {
    registry.manifests.delete(`team/app@${arm.manifest.digest}`)
    await publish(multi)
    expect(await hasManifest(amd.manifest)).toBe(true)
    expect(layersSaid()).toEqual(amd.blobs.map(sha256))
  })

  it('that names a platform and does not have its image is refused where that one is wanted', async () => {
    registry.manifests.delete(`team/app@${arm.manifest.digest}`)
    await expect(publish(multi, { platforms: ['linux/arm64'] })).rejects.toMatchObject({
      code: 'PUBLISH_PLATFORM_UNKNOWN',
    })
    expect(await tagNow(NAME, 'multi')).toBeUndefined()
  })

  it('of one image, where a plain image is: the platform is its own business', async () => {
    await publish(REFERENCE, { platforms: ['linux/s390x'] })
    expect(await tagNow()).toBe(amd.manifest.digest)
  })
})

describe('an index of blobs, as BuildKit’s registry cache is', () => {
  const cached = [patternBytes(1_200, 5), patternBytes(900, 6), Buffer.from('{"layers":[],"records":[]}')]
  const cacheOf = (...entries: readonly object[]) => manifestOf(MEDIA_TYPES.ociIndex, { manifests: entries })
  const entries = cached.map((blob, i) => ({
    mediaType: i === 2 ? 'application/vnd.buildkit.cacheconfig.v0' : MEDIA_TYPES.ociLayerGzip,
    digest: sha256(blob),
    size: blob.length,
  }))
  const cache = cacheOf(...entries)
  const reference = `${NAME}:buildcache`
  beforeEach(() => registry.push('team/app', 'buildcache', { manifest: cache, blobs: cached }))

  it('comes with its blobs, which are not asked for as manifests', async () => {
    const bytes = cached.reduce((sum, each) => sum + each.length, 0)
    expect(await publish(reference)).toMatchObject({ digest: cache.digest, copiedBytes: bytes })
    for (const blob of cached) expect(await has(blob)).toBe(true)
    expect(await tagNow(NAME, 'buildcache')).toBe(cache.digest)
    expect(layersSaid()).toEqual(cached.map(sha256))
    expect(registry.count('manifest')).toBe(1)
  })

  it('comes without those that its registry no longer has: caches are pruned', async () => {
    registry.blobs.delete(`team/app@${sha256(cached[0]!)}`)
    await publish(reference)
    expect(await Promise.all(cached.map((blob) => has(blob)))).toEqual([false, true, true])
    expect(await tagNow(NAME, 'buildcache')).toBe(cache.digest)
  })

  it('that images require as well are not optional', async () => {
    const mixed = cacheOf(
      { mediaType: MEDIA_TYPES.ociLayerGzip, digest: sha256(shared), size: shared.length },
      { mediaType: MEDIA_TYPES.ociManifest, digest: amd.manifest.digest, size: amd.manifest.length },
    )
    registry.push('team/app', 'mixed', mixed)
    registry.blobs.delete(`team/app@${sha256(shared)}`)
    await expect(publish(`${NAME}:mixed`)).rejects.toMatchObject({ code: 'PUBLISH_BLOB_MISSING' })
    expect(await tagNow(NAME, 'mixed')).toBeUndefined()
  })

  it('of more blobs than a line may name is told of in several', async () => {
    const many = Array.from({ length: 2_100 }, (_, n) => ({
      mediaType: MEDIA_TYPES.ociLayerGzip,
      digest: sha256(`nowhere ${n}`),
      size: 1,
    }))
    registry.push('team/app', 'many', cacheOf(...many))
    await publish(`${NAME}:many`)
    const said = lines.flatMap((line) => (line.type === 'image' ? [line.layers.length] : []))
    expect(said).toEqual([2_048, 52])
  })
})

describe('what cannot be published', () => {
  it.each([
    [`${NAME}:none`, 'PUBLISH_IMAGE_UNKNOWN', `${HOST} has no team/app:none; was it pushed?`],
    ['ours:none', 'PUBLISH_IMAGE_UNKNOWN', 'this seeder has no ours:none; was it pushed?'],
    [
      'elsewhere.test/a:1',
      'PUBLISH_REGISTRY_UNKNOWN',
      `elsewhere.test is not among the seeder's upstreams (${HOST}); add it there`,
    ],
    ['Not A Reference', 'PUBLISH_REFERENCE_INVALID', expect.stringContaining('not a reference')],
  ])('%s is %s', async (reference, code, message) => {
    await expect(publish(reference)).rejects.toMatchObject({ code, message })
    expect(lines).toEqual([])
    expect(await origin.keys()).toEqual([])
  })

  it('an image with a blob that its registry does not have leaves no manifest and no tag', async () => {
    registry.blobs.delete(`team/app@${sha256(amd.blobs[2]!)}`)
    await expect(publish()).rejects.toMatchObject({
      code: 'PUBLISH_BLOB_MISSING',
      message: expect.stringContaining(HOST),
    })
    expect(await hasManifest(amd.manifest)).toBe(false)
    expect(await tagNow()).toBeUndefined()
    // What came stays for the next attempt.
    expect(await has(shared)).toBe(true)
    expect(lines.some((line) => line.type === 'published')).toBe(false)
  })

  it('an image whose registry is busy for a moment is waited for, manifests and blobs', async () => {
    const refused = new Set<string>()
    registry.fault = ({ kind, reference }) => {
      if (refused.has(`${kind} ${reference}`)) return
      refused.add(`${kind} ${reference}`)
      throw new UpstreamBusyError(HOST, nowMs + 20)
    }
    await publish()
    expect(refused.size).toBe(4)
    expect(await tagNow()).toBe(amd.manifest.digest)
  })

  it.each([
    ['for longer than anybody wants to wait', 30_001, 1],
    ['again and again', 0, 6],
  ])('an image whose registry is busy %s', async (_what, forMs, asked) => {
    registry.fault = () => Promise.reject(new UpstreamBusyError(HOST, nowMs + forMs))
    await expect(publish()).rejects.toMatchObject({ code: 'UPSTREAM_BUSY', retryAtMs: nowMs + forMs })
    expect(registry.asked).toHaveLength(asked)
  })

  it('an image whose registry goes away in the middle leaves the tag as it was', async () => {
    await publish()
    registry.push('team/app', '1', arm)
    registry.body = async function* () {
      yield new Uint8Array(1)
      throw new UpstreamUnavailableError(HOST, 'away')
    }
    await expect(publish()).rejects.toThrow(UpstreamUnavailableError)
    expect(await tagNow()).toBe(amd.manifest.digest)
    expect(await hasManifest(arm.manifest)).toBe(false)
  })

  it('for nodes that nobody can mean is refused before anything is asked', async () => {
    await expect(publish(REFERENCE, { warm: 'rack=1' })).rejects.toThrow(WarmSelectorInvalidError)
    expect(registry.asked).toEqual([])
  })

  it('any more, since nobody waits for it: copying goes on for the next who asks', async () => {
    const hold = Promise.withResolvers<void>()
    registry.body = async function* (blob) {
      await hold.promise
      yield blob
    }
    const leaving = new AbortController()
    const publishing = publish(REFERENCE, {}, leaving.signal)
    await vi.waitFor(() => expect(lines.length).toBeGreaterThan(3))
    leaving.abort(new Error('the client left'))
    await expect(publishing).rejects.toThrow()
    expect(await tagNow()).toBeUndefined()
    hold.resolve()
    await vi.waitFor(async () => expect(await has(shared)).toBe(true))
    registry.asked.length = 0
    await publish()
    expect(registry.count('blob')).toBe(0)
  })
})

describe('an image of our own', () => {
  beforeEach(() => origin.pushImage('team/mine', '1', amd))

  it('is left alone, whatever name of the seeder it goes by: there is nothing to copy', async () => {
    const before = await origin.images.tag('team/mine', '1')
    origin.clock.nowMs += 5_000
    const bytes = amd.blobs.reduce((sum, each) => sum + each.length, 0)
    for (const reference of ['team/mine:1', 'shoal.test/team/mine:1'])
      expect(await publish(reference)).toMatchObject({ copiedBytes: 0, presentBytes: bytes })
    expect(await origin.images.tag('team/mine', '1')).toEqual(before)
    expect(registry.asked).toEqual([])
    expect(lines.filter((line) => line.type === 'layer').every(({ state }) => state === 'present')).toBe(true)
  })

  it('can be warmed', async () => {
    await publish('team/mine:1', { warm: 'all' })
    expect(warmed).toEqual([
      { name: 'team/mine', tag: '1', digest: amd.manifest.digest, manifests: [expect.anything()] },
    ])
    expect(lines.slice(-2)).toEqual([
      { type: 'warm', reference: 'team/mine:1', nodes: 2, ready: 0 },
      { type: 'warm', reference: 'team/mine:1', nodes: 2, ready: 2 },
    ])
  })

  it('that has lost a blob says which', async () => {
    const lost = parseDigest(sha256(shared))
    await origin.images.removeBlob('team/mine', lost)
    await expect(publish('team/mine:1', { warm: 'all' })).rejects.toMatchObject({
      code: 'PUBLISH_BLOB_MISSING',
      message: expect.stringContaining(lost),
    })
    expect(warmed).toEqual([])
  })
})
